# Packets through the kernel's IPVS, then through the director, with the instructions that each takes.

modprobe ip_vs conn_tab_bits=16
for module in veth pktgen sch_ingress cls_bpf ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_sed ip_vs_nq ip_vs_sh \
    ip_vs_dh ip_vs_mh; do
    modprobe $module
done
# One-armed: by the device by which clients' packets come they go on to the real servers.
mkdir -p /run/netns
/bin/ip netns add c
/bin/ip link add name d address 02:00:00:00:00:0d type veth peer name c address 02:00:00:00:00:0c netns c
/bin/ip -n c link set dev c up
/bin/ip link set dev d up
nsenter --net=/run/netns/c /bin/ethtool -K c gro on
for name in all default d; do
    echo 0 >/proc/sys/net/ipv4/conf/$name/rp_filter
    echo 0 >/proc/sys/net/ipv4/conf/$name/send_redirects
done
echo 1 >/proc/sys/net/ipv4/ip_forward
/bin/ip addr add 192.0.2.10/32 dev lo
/bin/ip addr add 10.2.0.1/16 dev d
/bin/ip route add 10.50.0.0/15 dev d
awk 'BEGIN { for (server = 0; server < 900; server++)
    printf "neigh add 10.2.%d.%d lladdr 02:00:00:00:02:02 dev d\n", 1 + server / 250, 1 + server % 250
}' >/tmp/neighbours
/bin/ip -batch /tmp/neighbours

# SCHEDULER METHOD SERVERS: a service and its real servers. With a port of its own, it meets no earlier connection.
service() {
    port=$((port + 1))
    awk -v port=$port -v scheduler=$1 -v method=$2 -v servers=$3 'BEGIN {
        print "-A -u 192.0.2.10:" port " -s " scheduler
        for (server = 0; server < servers; server++)
            printf "-a -u 192.0.2.10:%d -r 10.2.%d.%d:%d %s -w %d\n", port, 1 + server / 250, 1 + server % 250, port,
                method, 1 + server % 3
    }' >/tmp/rules
    $program -C
    $program -R </tmp/rules
    # Next hops are looked up afterwards.
    [ $kind = ipvs ] || sleep 2
}

# PACKETS LAST TO PORT: so many packets of clients from 10.50.0.1 to the last one, from this port, in frames to this
# Ethernet address; prints instructions per packet.
send() {
    nsenter --net=/run/netns/c sh -e -c "
        echo rem_device_all >/proc/net/pktgen/kpktgend_0
        echo add_device c >/proc/net/pktgen/kpktgend_0
        for command in 'count $1' 'pkt_size 60' 'delay 0' 'dst_mac $3' 'dst 192.0.2.10' 'src_min 10.50.0.1' \
            'src_max $2' 'udp_src_min $4' 'udp_src_max $4' \
            'udp_dst_min $port' 'udp_dst_max $port'; do
            echo \"\$command\" >/proc/net/pktgen/c
        done
        echo start >/proc/net/pktgen/pgctrl
        awk '/^Result: OK/ { split(\$3, time, \"(\"); printf \"%.0f\\n\", time[1] * 1000 / $1 }' /proc/net/pktgen/c"
}

# Packets that came back. IPVS counts its own every two seconds only.
forwarded() {
    nsenter --net=/run/netns/c awk '$1 == "c:" { print $3 }' /proc/net/dev
}

# NAME SCHEDULER METHOD SERVERS PACKETS LAST: packets of the clients up to the last one; the least of three times, as the
# kernel has work of its own. Those of one client have one port, and are of one connection.
measure() {
    service $2 $3 $4
    send 1 10.50.0.1 02:00:00:00:00:0d 1000 >/dev/null
    # What the daemon does by itself meanwhile is no packet's.
    [ $kind = ipvs ] || kill -STOP $daemon
    least=
    for from in 1000 1001 1002; do
        [ $6 != 10.50.0.1 ] || from=1000
        before=$(forwarded)
        cost=$(send $5 $6 02:00:00:00:00:0d $from)
        # The kernel sends a few of its own.
        count=$(($(forwarded) - before))
        [ $count -ge $5 ] || { echo "$kind $1: $count of $5 packets were forwarded"; exit 1; }
        [ -n "$least" ] && [ $least -le $cost ] || least=$cost
    done
    [ $kind = ipvs ] || kill -CONT $daemon
    echo "$kind $1 $least"
}

all() {
    port=80
    # To nobody: what it costs to make a packet and to bring it here.
    echo "$kind floor $(send 2000 10.50.0.1 02:00:00:00:00:99 1000)"
    for method in -g -m -i; do
        measure known$method rr $method 1 700 10.50.0.1
    done
    for method in -g -m -i; do
        measure new$method rr $method 1 700 10.50.2.188
    done
    for scheduler in rr wrr lc wlc sed nq sh dh mh; do
        for servers in 10 100 900; do
            measure $scheduler-$servers $scheduler -g $servers 300 10.50.1.44
        done
    done
}

kind=ipvs
program=ipvsadm
all
ipvsadm -C

export LVS_SOCKET=/run/own.sock
lvsd --bpffs /sys/fs/bpf/own --socket $LVS_SOCKET --interface d --mode tc --table4 524288 --state /run/state \
    >/run/log 2>&1 &
daemon=$!
tries=0
until lvsadm --status >/run/status 2>&1; do
    tries=$((tries + 1))
    kill -0 $! && [ $tries -lt 600 ] || { cat /run/log; exit 1; }
    usleep 200000
done
sleep 3
kind=lvsd
program=lvsadm
all
