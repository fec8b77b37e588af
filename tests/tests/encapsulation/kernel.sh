# One machine as client (c), director (d) and real server (s), whose kernel unwraps tunnels.
#
# Networks: 1 between c and d, 2 between d and s, 3 between s and c for the replies; N is 10.N.0.0/24 and fd0N::/64,
# with d 1, c 2, s 3. The virtual addresses are 10.9.0.101 and fd09::101.
mkdir -p /run/netns
for host in c d s; do
    /bin/ip netns add $host
    nsenter --net=/run/netns/$host sh -c '
        for name in all default; do
            echo 0 >/proc/sys/net/ipv4/conf/$name/rp_filter
            echo 0 >/proc/sys/net/ipv6/conf/$name/accept_dad
        done
        echo 0 >/proc/sys/net/ipv6/conf/default/dad_transmits
        /bin/ip link set lo up'
done
on() { # HOST COMMAND...
    local host=$1
    shift
    nsenter --net=/run/netns/$host "$@"
}
modprobe veth
wire() { # NETWORK HOST NUMBER HOST NUMBER
    /bin/ip link add $2$1 netns $2 type veth peer name $4$1 netns $4
    on $2 /bin/ip addr add 10.$1.0.$3/24 dev $2$1
    on $2 /bin/ip -6 addr add fd0$1::$3/64 dev $2$1
    on $4 /bin/ip addr add 10.$1.0.$5/24 dev $4$1
    on $4 /bin/ip -6 addr add fd0$1::$5/64 dev $4$1
    on $2 /bin/ip link set $2$1 up
    on $4 /bin/ip link set $4$1 up
}
wire 1 c 2 d 1
wire 2 d 1 s 3
wire 3 s 3 c 2
# What comes from a program in the driver wants NAPI at the other end.
on c /bin/ethtool -K c1 gro on
on s /bin/ethtool -K s2 gro on
on c /bin/ip route add 10.9.0.0/24 via 10.1.0.1
on c /bin/ip -6 route add fd09::/64 via fd01::1
on s /bin/ip route add 10.1.0.0/24 via 10.3.0.2
on s /bin/ip -6 route add fd01::/64 via fd03::2
on s /bin/ip addr add 10.9.0.101/32 dev lo
on s /bin/ip -6 addr add fd09::101/128 dev lo

# The devices that every network namespace has of each kind take packets from anybody.
for module in ipip sit ip6_tunnel ip_gre ip6_gre fou fou6; do
    modprobe $module || exit 1
done
on s /bin/ip -6 tunnel change ip6tnl0 mode any
for device in tunl0 sit0 ip6tnl0 gre0 ip6gre0; do
    on s /bin/ip link set $device up || exit 1
    on s sh -c "echo 0 >/proc/sys/net/ipv4/conf/$device/rp_filter"
done
on s /bin/ip fou add port 6080 gue || exit 1
on s /bin/ip -6 fou add port 6080 gue || exit 1

mkdir /run/www
echo served >/run/www/index.html
i=0
while [ $i -lt 4000 ]; do
    echo "line $i of a file that takes more than one segment"
    i=$((i + 1))
done >/run/www/large
on s busybox httpd -p '[::]:80' -h /run/www

for mode in xdp tc; do
    # In the driver a checksum has to be complete; behind it the sender may leave it to the devices.
    [ $mode = xdp ] && offload=off || offload=on
    on c /bin/ethtool -K c1 tx $offload
    nsenter --net=/run/netns/d lvsd --bpffs /sys/fs/bpf/$mode --socket /run/$mode.sock --interface d1 --interface d2 \
        --mode $mode --table4 64 --table6 64 --state /run/state-$mode >/run/log 2>&1 &
    daemon=$!
    adm() {
        lvsadm --socket /run/$mode.sock "$@"
    }
    tries=0
    until adm --status >/run/status 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { cat /run/log; exit 1; }
        usleep 100000
    done
    adm -A -t 10.9.0.101:80 -s rr
    adm -A -t '[fd09::101]:80' -s rr
    for server in 10.2.0.3:80 '[fd02::3]:80'; do
        adm -a -t 10.9.0.101:80 -r $server -i -w 0
        adm -a -t '[fd09::101]:80' -r $server -i -w 0
    done
    for tunnel in ipip 'gue --tun-port 6080' 'gue --tun-port 6080 --tun-csum' 'gue --tun-port 6080 --tun-remcsum' \
        gre 'gre --tun-csum'; do
        for service in 10.9.0.101:80 '[fd09::101]:80'; do
            for server in 10.2.0.3:80 '[fd02::3]:80'; do
                adm -e -t $service -r $server -i -w 1 --tun-type $tunnel
                tries=0
                # The first one may come before the server's next hop is known.
                until said=$(on c busybox wget -T 2 -q -O - http://$service/ 2>&1); do
                    tries=$((tries + 1))
                    [ $tries -lt 5 ] || break
                done
                on c busybox wget -T 5 -q -O /run/got http://$service/large
                if [ "$said" = served ] && cmp -s /run/got /run/www/large; then
                    echo "ok: $mode, $tunnel, $service by $server"
                else
                    echo "failed: $mode, $tunnel, $service by $server: $said"
                    on s /bin/ip -s link show
                    adm --verdicts
                fi
                adm -e -t $service -r $server -i -w 0
            done
        done
    done
    kill $daemon
    wait $daemon
    # The programs go with the last that holds them.
    rm -r /sys/fs/bpf/$mode
done
