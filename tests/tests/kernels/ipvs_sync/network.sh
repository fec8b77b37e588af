at() { local into=$1; shift; nsenter --net=/run/netns/$into "$@"; }
# Busybox has an ip and a tc of its own, which know less: hence the whole paths.
note() { echo; echo "== $*"; }
# Waits until a command succeeds: minutes, if need be: the verifier takes its time in an emulated machine.
until_true() {
    local tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { echo "never: $*"; return 1; }
        usleep 300000
    done
}

modprobe -a ip_vs ip_vs_rr veth bridge sch_ingress cls_u32 act_skbedit
mkdir -p /run/netns
/bin/ip netns add lan
at lan /bin/ip link add lan type bridge
at lan /bin/ip link set lan up
number=0
for space in k o c s1 s2; do
    number=$((number + 1))
    /bin/ip netns add $space
    at $space sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
    at $space sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
    at $space /bin/ip link set lo up
    /bin/ip link add name eth0 netns $space type veth peer name $space netns lan
    # Raw frames are sent with whatever checksum they have.
    at $space ethtool -K eth0 tx off >/dev/null
    at lan /bin/ip link set $space master lan up
    at $space /bin/ip link set eth0 up
    at $space /bin/ip addr add 10.1.0.$number/24 dev eth0
    at $space /bin/ip addr add fd00::$number/64 dev eth0 nodad
done
# Replies from a server's own address (NAT) go to whichever director is active.
for server in 4 5; do
    space=s$((server - 3))
    at $space sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
    at $space sysctl -qw net.ipv4.conf.all.accept_redirects=0
    at $space sysctl -qw net.ipv4.conf.eth0.accept_redirects=0
    at $space /bin/ip addr add 10.1.0.100/32 dev lo
    at $space /bin/ip addr add fd00::100/128 dev lo nodad
    at $space /bin/ip rule add from 10.1.0.$server lookup 100
    at $space /bin/ip route add default via 10.1.0.254 table 100
    at $space flow serve server$server 10.1.0.100:80 10.1.0.100:81 10.1.0.100:83 '[fd00::100]:80' 10.1.0.$server:8082 &
done
at k sysctl -qw net.ipv4.ip_forward=1
at o sysctl -qw net.ipv4.ip_forward=1

# What a firewall would do.
at k /bin/tc qdisc add dev eth0 clsact
at k /bin/tc filter add dev eth0 ingress protocol ip u32 match ip dport 83 0xffff action skbedit mark 5

# Moves the virtual addresses and the gateway of NAT to a director.
active() {
    for space in k o; do
        for address in 10.1.0.100/32 10.1.0.254/32 fd00::100/128; do
            at $space /bin/ip addr del $address dev eth0 2>/dev/null || true
        done
    done
    for address in 10.1.0.100/32 10.1.0.254/32; do
        at $1 /bin/ip addr add $address dev eth0
    done
    at $1 /bin/ip addr add fd00::100/128 dev eth0 nodad
    for space in c s1 s2; do
        at $space /bin/ip neigh flush all
    done
}

services() {
    echo '-A -t 10.1.0.100:80 -s rr'
    echo '-A -t 10.1.0.100:81 -s rr -p 300'
    echo '-A -t 10.1.0.100:82 -s rr'
    echo '-A -t [fd00::100]:80 -s rr'
    echo '-A -u 10.1.0.100:80 -s rr'
    echo '-A -f 5 -s rr -p 300'
    for server in 4 5; do
        echo "-a -t 10.1.0.100:80 -r 10.1.0.$server:80 -g"
        echo "-a -t 10.1.0.100:81 -r 10.1.0.$server:81 -g"
        echo "-a -t 10.1.0.100:82 -r 10.1.0.$server:8082 -m"
        echo "-a -t [fd00::100]:80 -r [fd00::$server]:80 -g"
        echo "-a -u 10.1.0.100:80 -r 10.1.0.$server:80 -g"
        echo "-a -f 5 -r 10.1.0.$server -g"
    done
}
kernel() { at k ipvsadm "$@"; }
ours() { at o lvsadm --socket /run/o.sock "$@"; }

# What a program sends back is received by a program only (on 6.1 GRO alone wakes nobody for it,
# so that frames wait for one another): another lvsd, which has no service and lets everything pass.
at lan lvsd --bpffs /sys/fs/bpf/lan --socket /run/lan.sock --interface o --table4 64 --table6 64 >/run/lan.log 2>&1 &
until_true lvsadm --socket /run/lan.sock -Ln
services | kernel -R

# Whether a director has that many connections and templates of the client.
has() { [ "$($1 -Lcn | grep -c -E '10.1.0.3|fd00::3')" -ge $2 ]; }
# Opens connections to every service, by a name and the number of the file they are asked through.
hold() {
    mkfifo /run/$1.go
    at c flow hold tcp:10.1.0.100:80 tcp:10.1.0.100:81 tcp:10.1.0.100:82 'tcp:[fd00::100]:80' \
        tcp:10.1.0.100:83 udp:10.1.0.100:80 </run/$1.go >/run/$1.said 2>&1 &
    eval "exec $2>/run/$1.go"
    eval "$1=$2"
}
# Has each of these connections ask, and notes who answered.
ask() {
    eval "echo $2 >&\$$1"
    until_true grep -q "^$2 done" /run/$1.said || { cat /run/$1.said; return 1; }
    note "$2"
    grep "^$2 " /run/$1.said | grep -v done
}
# Our director with the same services, in little memory, and more options.
begin_ours() {
    at o lvsd --bpffs /sys/fs/bpf/o --socket /run/o.sock --interface eth0 --table4 4096 --table6 4096 \
        "$@" >/run/o.log 2>&1 &
    until_true ours -Ln
    services | ours -R
    ours --mark 5 -t 10.1.0.100:83
}
