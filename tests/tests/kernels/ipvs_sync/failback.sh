trap 'cat /run/o.log' EXIT
begin_ours --sync-ports 4
active o
# Through several ports of an IPv6 group.
at k sysctl -qw net.ipv4.vs.sync_ports=4
kernel --start-daemon backup --mcast-interface eth0 --syncid 7 --mcast-group ff02::81
ours --start-daemon master --mcast-interface eth0 --syncid 7 --mcast-group ff02::81
hold new 3
ask new 1
ask new 2
ask new first
until_true has kernel 8
note k as backup
kernel -Lcn
note o as master
ours -Lcn

# The same by messages of version 0, which have no place for IPv6.
ours --stop-daemon master
ours --sysctl sync_version=0
ours --start-daemon master --mcast-interface eth0 --syncid 7 --mcast-group ff02::81
hold third 4
ask third a
ask third b
ask third c
until_true has kernel 13
note k by version 0
kernel -Lcn
note o by version 0
ours -Lcn

active k
ask new second
note end
trap - EXIT
