trap 'cat /run/o.log' EXIT
begin_ours
active o
kernel --start-daemon backup --mcast-interface eth0 --syncid 7
ours --start-daemon master --mcast-interface eth0 --syncid 7
hold new 3
ask new 1
ask new 2
ask new first
until_true has kernel 6
note k as backup
kernel -Lcn
note o as master
ours -Lcn

active k
ask new second
note end
trap - EXIT
