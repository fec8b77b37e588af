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
ask old 1
ask old 2
ask old first
until_true has ours 6
note o as backup
ours -Lcn
note k as master
kernel -Lcn

active o
ask old second
note end
trap - EXIT
