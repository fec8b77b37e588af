/bin/ip link set dev lo up
/bin/ip link add name d address 02:00:00:00:00:0d type veth peer name c address 02:00:00:00:00:0c
/bin/ip link add back type veth peer name servers
/bin/ip link set dev d arp off
for device in c d back servers; do
    /bin/ip link set dev $device up
done
for name in all default d back; do
    echo 0 >/proc/sys/net/ipv4/conf/$name/rp_filter
done
/bin/ip addr add 10.2.0.1/24 dev back
/bin/ip route add 10.50.0.0/16 dev d
/bin/ip route add local 198.18.0.0/15 dev lo
/bin/ip route add local 192.0.2.10/32 dev lo
