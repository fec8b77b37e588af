mkdir -p /run/netns
/bin/ip netns add c
/bin/ip link add name d address 02:00:00:00:00:0d type veth peer name c address 02:00:00:00:00:0c netns c
/bin/ip -n c link set dev c up
/bin/ip link add back type veth peer name servers
for device in lo d back servers; do
    /bin/ip link set dev $device up
done
for name in all default d back; do
    echo 0 >/proc/sys/net/ipv4/conf/$name/rp_filter
done
/bin/ip addr add 192.0.2.10/32 dev lo
/bin/ip addr add 10.2.0.1/24 dev back
/bin/ip route add 10.50.0.0/16 dev d
for last in $(seq 11 40); do
    /bin/ip neigh add 10.2.0.$last lladdr 02:00:00:00:02:02 dev back
done
