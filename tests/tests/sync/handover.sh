trap 'cat /run/o.log' EXIT
active k
kernel --start-daemon master --mcast-interface eth0 --syncid 7
ours --start-daemon backup --mcast-interface eth0 --syncid 7
note daemons of k
kernel -L --daemon
note daemons of o
ours -L --daemon

# The third packet of each connection is what IPVS tells of; of UDP that is the third question.
hold old 3
ask old 1; ask old 2; ask old first
until_true has ours 6
note o as backup
ours -Lcn
note k as master
kernel -Lcn

active o
ask old second
kernel --stop-daemon master
ours --stop-daemon backup
kernel --start-daemon backup --mcast-interface eth0 --syncid 7
ours --start-daemon master --mcast-interface eth0 --syncid 7
# These the kernel has not seen before.
hold new 4
ask new 3; ask new 4; ask new third
until_true has kernel 11
note k as backup
kernel -Lcn
note o as master
ours -Lcn

active k
ask old fourth
ask new fifth
note end
trap - EXIT
