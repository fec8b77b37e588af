# One machine as all hosts: clients (c), director (d), real server (s), and the network between them (n).
#
# Each kind of device of the director has a network of its own: number N is 10.N.0.0/24 and fd00:N::/64, with director
# 1, client 2, real server 3, router 254, and the virtual addresses 101 (direct routing), 102 (NAT), 103 (tunnel).
# Not the shell's own.
ip() {
    /bin/ip "$@"
}
mount -t tmpfs run /run
mkdir -p /run/netns
# Lines for `ip`, a host's at once: each start of a program takes its time here.
line() { # HOST WORD...
    local host=$1
    shift
    echo "$*" >>/run/lines-$host
}
# The same, where the line does not tell that it is about IPv6.
line6() { # HOST WORD...
    local host=$1
    shift
    echo "$*" >>/run/lines6-$host
}
run_lines() {
    local host
    for host in n d c s; do
        touch /run/lines-$host /run/lines6-$host
        ip -n $host -batch /run/lines-$host
        ip -6 -n $host -batch /run/lines6-$host
        rm /run/lines-$host /run/lines6-$host
    done
}
for host in c d s n; do
    ip netns add $host
    line $host link set lo up
done
on() { # HOST COMMAND…
    local host=$1
    shift
    nsenter --net=/run/netns/$host "$@"
}
setting() { # HOST NAME VALUE
    on $1 sh -c "echo $3 >/proc/sys/net/$2"
}
for host in c d s n; do
    for name in dad_transmits accept_dad accept_ra; do
        setting $host ipv6/conf/default/$name 0
    done
    setting $host ipv4/conf/all/rp_filter 0
    setting $host ipv4/conf/default/rp_filter 0
done
# Each device of the director refuses what comes by another way than answers leave by.
setting d ipv4/conf/default/rp_filter 1
for host in d n; do
    setting $host ipv4/ip_forward 1
    setting $host ipv6/conf/all/forwarding 1
done
setting n ipv4/conf/all/send_redirects 0
setting n ipv4/conf/default/send_redirects 0
# A real server's virtual addresses are the director's to answer for.
setting s ipv4/conf/all/arp_ignore 1
setting s ipv4/conf/all/arp_announce 2
modprobe -a virtio_pci virtio_net ipip ip6_tunnel 8021q bonding team team_mode_activebackup ipvlan macvlan dummy wireguard vrf ip_gre ip6_gre sit fou fou6
line s link set tunl0 up
line s link set ip6tnl0 up

rules=/run/rules
kinds=/run/kinds
interfaces=
addresses=

bridge() { # N
    line n link add br$1 type bridge mcast_snooping 0 forward_delay 0
    line n link set br$1 up
    line n addr add 10.$1.0.254/24 dev br$1
    line n addr add fd00:$1::254/64 dev br$1
}
# A veth device as it comes; its other end is a port of a bridge.
wire() { # HOST DEVICE N
    line n link add $1-$2 type veth peer name $2 netns $1
    line n link set $1-$2 master br$3 up
    line $1 link set $2 up
}
# The same, but the network puts a VLAN's tag on its frames. The director has a VLAN device.
tagged() { # DEVICE VLAN N
    line n link add link d-$1 name d-$1-$2 type vlan id $2
    line n link set d-$1-$2 master br$3 up
    line d link add link $1 name $1.$2 type vlan id $2
}
# Leads to the bridge by way of these ports only.
unplug() { # DEVICE
    line n link set d-$1 nomaster
}
has() { # HOST DEVICE N LAST
    line $1 link set $2 up
    line $1 addr add 10.$3.0.$4/24 dev $2
    line $1 addr add fd00:$3::$4/64 dev $2
}
virtual() { # DEVICE N
    local last
    for last in 101 102 103; do
        line d addr add 10.$2.0.$last/32 dev $1
        line d addr add fd00:$2::$last/128 dev $1
    done
}
# A real server in network N for the virtual addresses of network V. What it sends from its own address (NAT) goes by
# way of the director, the rest past it.
server() { # DEVICE N V
    local last
    has s $1 $2 3
    addresses="$addresses 10.$2.0.3 fd00:$2::3"
    for last in 101 103; do
        line s addr add 10.$3.0.$last/32 dev lo
        line s addr add fd00:$3::$last/128 dev lo
        addresses="$addresses 10.$3.0.$last fd00:$3::$last"
    done
    line s route add default via 10.$2.0.1 dev $1 table $2
    line s route add default via fd00:$2::1 dev $1 table $2
    line s rule add from 10.$2.0.3 table $2
    line6 s rule add from fd00:$2::3 table $2
}
services() { # V N
    local protocol last way
    for protocol in -t -u; do
        for last in 101 102 103; do
            case $last in
            101) way=-g ;;
            102) way=-m ;;
            103) way=-i ;;
            esac
            echo "-A $protocol 10.$1.0.$last:80 -s rr"
            echo "-a $protocol 10.$1.0.$last:80 -r 10.$2.0.3:80 $way"
            echo "-A $protocol [fd00:$1::$last]:80 -s rr"
            echo "-a $protocol [fd00:$1::$last]:80 -r [fd00:$2::3]:80 $way"
        done
    done >>$rules
}
# A client and a real server.
network() { # N
    bridge $1
    wire c c$1 $1
    has c c$1 $1 2
    wire s s$1 $1
    server s$1 $1 $1
    services $1 $1
}
# The director is in network N by a device, which has its own and the virtual addresses. The program runs on it.
kind() { # N DEVICE NAME [LASTS]
    has d $2 $1 1
    virtual $2 $1
    tries $1 "$3" "$4"
    interfaces="$interfaces $2"
}
tries() { # N NAME [LASTS]
    echo "$1:$2:${3:-101 102 103}" >>$kinds
}
port() { # HOST DEVICE MASTER
    line $1 link set $2 down
    line $1 link set $2 master $3
    line $1 link set $2 up
}

network 11
wire d plain 11
has d plain 11 1
line d link add dummy0 type dummy
line d link set dummy0 up
virtual dummy0 11
# Of IPv6 an interface answers for its own addresses only.
for last in 101 102 103; do
    line c route add fd00:11::$last via fd00:11::1
done
tries 11 "virtual addresses on a dummy device"
interfaces="$interfaces plain"

network 12
wire d e12 12
unplug e12
tagged e12 10 12
kind 12 e12.10 "a VLAN device"

network 13
wire d e13 13
unplug e13
tagged e13 10 13
has d e13.10 13 1
virtual e13.10 13
tries 13 "the interface below a VLAN device"
interfaces="$interfaces e13"

# Clients in one VLAN of a trunk, real servers in another.
trunk() { # DEVICE N
    bridge $2
    wire c c$2 $2
    has c c$2 $2 2
    bridge $(($2 + 1))
    wire s s$2 $(($2 + 1))
    server s$2 $(($2 + 1)) $2
    services $2 $(($2 + 1))
    wire d $1 $2
    unplug $1
    tagged $1 $2 $2
    tagged $1 $(($2 + 1)) $(($2 + 1))
    has d $1.$2 $2 1
    has d $1.$(($2 + 1)) $(($2 + 1)) 1
    virtual $1.$2 $2
}
trunk e14 14
tries 14 "two VLANs, the interface below"
interfaces="$interfaces e14"
trunk e16 16
tries 16 "two VLANs, their devices"
interfaces="$interfaces e16.16 e16.17"

network 18
wire d ab1 18
wire d ab2 18
line d link add bond0 type bond mode active-backup miimon 100
port d ab1 bond0
port d ab2 bond0
kind 18 bond0 "a bond, active-backup"

network 19
line n link add d-bond1 type bond mode 802.3ad miimon 100 lacp_rate fast
line d link add bond1 type bond mode 802.3ad miimon 100 lacp_rate fast xmit_hash_policy layer3+4
for name in ad1 ad2; do
    wire d $name 19
    unplug $name
    port n d-$name d-bond1
    port d $name bond1
done
line n link set d-bond1 master br19 up
kind 19 bond1 "a bond, 802.3ad"

# In the driver: XDP runs on its ports. Their other ends take frames without a socket buffer, and send them whole.
network 30
wire d nb1 30
wire d nb2 30
run_lines
for name in nb1 nb2; do
    on n ethtool -K d-$name gro on tx off >/dev/null
done
ip -n d link add bond2 type bond mode active-backup miimon 100
port d nb1 bond2
port d nb2 bond2
kind 30 bond2 "a bond in native mode"
native="--mode bond2=xdp"

# Tags in the driver: neither end takes them from the frames, or sends them beside those.
trunk e37 37
run_lines
on n ethtool -K d-e37 gro on tx off txvlan off >/dev/null
on d ethtool -K e37 rxvlan off >/dev/null
tries 37 "tags of VLANs in native mode"
interfaces="$interfaces e37"
native="$native --mode e37=xdp"

network 20
tagged bond1 20 20
kind 20 bond1.20 "a VLAN device of a bond"

network 21
wire d tp1 21
wire d tp2 21
# All with one Ethernet address, as teamd has it.
for device in tp1 tp2; do
    line d link set $device address 02:00:00:00:00:21
done
line d link add team0 address 02:00:00:00:00:21 type team
run_lines
on d teamnl team0 setoption mode activebackup
port d tp1 team0
port d tp2 team0
run_lines
active_port() {
    on d teamnl team0 setoption activeport $(ip -n d -o link show $1 | cut -d: -f1)
}
active_port tp1
kind 21 team0 "a team, activebackup"

network 22
wire d e22 22
line d link add ipvl0 link e22 type ipvlan mode l2
# What real servers behind NAT send to clients is for none of its addresses.
kind 22 ipvl0 "an ipvlan device, L2" "101 103"

# As keepalived makes it (use_vmac).
network 23
wire d e23 23
has d e23 23 1
line d link add vrrp.51 link e23 address 00:00:5e:00:01:33 type macvlan mode private
line d link set vrrp.51 up
run_lines
setting d ipv4/conf/vrrp.51/rp_filter 0
setting d ipv4/conf/e23/arp_ignore 1
virtual vrrp.51 23
tries 23 "virtual addresses on a macvlan device"
interfaces="$interfaces e23 vrrp.51"

network 24
wire d bp 24
line d link add bridge0 type bridge mcast_snooping 0 forward_delay 0
line d link set bp master bridge0
has d bridge0 24 1
virtual bridge0 24
tries 24 "the port of a bridge"
interfaces="$interfaces bp"

# The director's own packets to the real server are routed in the main table.
network 28
line d link add red type vrf table 900
line d link set red up
wire d e28 28
line d link set e28 master red
kind 28 e28 "a member of a VRF"
line d route add 10.28.0.3/32 dev e28
line d route add fd00:28::3/128 dev e28

# VLANs above a bridge of the director: one that knows nothing of them, and one that sorts by them.
network 31
wire d e31 31
unplug e31
line n link add link d-e31 name d-e31-10 type vlan id 10
line n link set d-e31-10 master br31 up
line d link add bridge31 type bridge mcast_snooping 0 forward_delay 0
line d link set bridge31 up
port d e31 bridge31
line d link add link bridge31 name bridge31.10 type vlan id 10
kind 31 bridge31.10 "a VLAN device of a bridge" "101 102"

network 32
wire d e32 32
line d link add bridge32 type bridge mcast_snooping 0 forward_delay 0 vlan_filtering 1 vlan_default_pvid 10
line d link set bridge32 up
port d e32 bridge32
run_lines
# Frames of the VLAN have no tag at the port, and one at the bridge itself.
on d bridge vlan add vid 10 dev bridge32 self
line d link add link bridge32 name bridge32.10 type vlan id 10
kind 32 bridge32.10 "a VLAN device of a bridge that filters VLANs" "101 102"

# Clients in a VRF, real servers outside: a rule leads answers there.
bridge 33
wire c c33 33
has c c33 33 2
bridge 34
wire s s34 34
server s34 34 33
services 33 34
line d link add blue type vrf table 901
line d link set blue up
wire d e33 33
line d link set e33 master blue
has d e33 33 1
virtual e33 33
wire d e34 34
has d e34 34 1
line d rule add from 10.33.0.0/24 lookup 901
line6 d rule add from fd00:33::/64 lookup 901
tries 33 "clients in a VRF, by a rule" "101 102"
interfaces="$interfaces e33 e34"

# A card of virtual machines, whose driver runs XDP. The machine has two, on one wire.
network 35
ip link set eth0 netns d
ip link set eth1 netns n
line d link set eth0 name card
line n link set eth1 name d-card
line n link set d-card master br35 up
line d link set card up
kind 35 card "a virtio card"

# WireGuard, above network 25: clients behind it (26), and a real server (29) of clients in network 27.
bridge 25
for host in c d s; do
    wire $host under 25
done
has d under 25 1
has c under 25 2
wg genkey >/run/key-c
wg genkey >/run/key-d
wg genkey >/run/key-s
guard() { # HOST DEVICE PORT N LAST PEER HOST-OF-PEER PORT-OF-PEER
    ip -n $1 link add $2 type wireguard
    on $1 wg set $2 private-key /run/key-$1 listen-port $3 peer $(wg pubkey </run/key-$6) \
        endpoint 10.25.0.$7:$8 allowed-ips 0.0.0.0/0,::/0
    has $1 $2 $4 $5
}
guard d wg0 1026 26 1 c 2 1026
guard c wg0 1026 26 2 d 1 1026
guard d wg1 1029 29 1 s 3 1029
ip -n s link add wg1 type wireguard
on s wg set wg1 private-key /run/key-s listen-port 1029 peer $(wg pubkey </run/key-d) \
    endpoint 10.25.0.1:1029 allowed-ips 0.0.0.0/0,::/0
server wg1 29 27
virtual wg0 26
server under 25 26
services 26 25
bridge 27
wire c c27 27
has c c27 27 2
wire d e27 27
has d e27 27 1
virtual e27 27
services 27 29
tries 26 "clients behind WireGuard"
tries 27 "a real server behind WireGuard"
interfaces="$interfaces under wg0 wg1 e27"

# Tunnel devices above network 25: clients behind them.
tunnel() { # N PREFIX TYPE...
    local number=$1 prefix=$2 host
    shift 2
    for host in d:1:2 c:2:1; do
        local name=${host%%:*} ends=${host#*:}
        line $name link add tunnel$number type "$@" local $prefix${ends%:*} remote $prefix${ends#*:}
        has $name tunnel$number $number ${ends%:*}
    done
    virtual tunnel$number $number
    services $number 25
    local last
    for last in 101 103; do
        line s addr add 10.$number.0.$last/32 dev lo
        line s addr add fd00:$number::$last/128 dev lo
        addresses="$addresses 10.$number.0.$last fd00:$number::$last"
    done
    line n route add 10.$number.0.0/24 via 10.25.0.2
    line n route add fd00:$number::/64 via fd00:25::2
    interfaces="$interfaces tunnel$number"
}
tunnel 40 10.25.0. gre
tries 40 "clients behind a GRE device"
tunnel 41 10.25.0. sit mode any
tries 41 "clients behind a sit device"
tunnel 42 fd00:25:: ip6tnl mode any
tries 42 "clients behind an ip6tnl device"

# Packets by GRE and GUE, for the devices of the real server's kernel. Of GRE a device takes either those with a
# checksum or those without; the other one has another address.
bridge 39
wire c c39 39
has c c39 39 2
wire s s39 39
has s s39 39 3
has s s39 39 4
wire d e39 39
has d e39 39 1
line s link set gre0 up
line s link set ip6gre0 up
line s link add gre39 type gre local 10.39.0.4 remote any icsum
line s link set gre39 up
line s link add gre39-6 type ip6gre local fd00:39::4 remote any icsum
line s link set gre39-6 up
line s fou add port 6080 gue
line6 s fou add port 6080 gue
encapsulated() { # LAST LAST-OF-SERVER OPTION...
    local last=$1 server=$2 protocol
    shift 2
    for protocol in -t -u; do
        echo "-A $protocol 10.39.0.$last:80 -s rr"
        echo "-a $protocol 10.39.0.$last:80 -r 10.39.0.$server:80 -i $*"
        echo "-A $protocol [fd00:39::$last]:80 -s rr"
        echo "-a $protocol [fd00:39::$last]:80 -r [fd00:39::$server]:80 -i $*"
    done >>$rules
    line d addr add 10.39.0.$last/32 dev e39
    line d addr add fd00:39::$last/128 dev e39
    line s addr add 10.39.0.$last/32 dev lo
    line s addr add fd00:39::$last/128 dev lo
    addresses="$addresses 10.39.0.$last fd00:39::$last"
}
encapsulated 104 3 --tun-type gre
encapsulated 105 4 --tun-type gre --tun-csum
encapsulated 106 3 --tun-type gue --tun-port 6080 --tun-nocsum
encapsulated 107 3 --tun-type gue --tun-port 6080 --tun-csum
encapsulated 108 3 --tun-type gue --tun-port 6080 --tun-remcsum
tries 39 "GRE and GUE to a kernel's devices" "104 105 106 107 108"
interfaces="$interfaces e39"

# Where real servers answer clients in other networks past the director, and a router leads to those.
line s route add default via 10.25.0.254
line s route add default via fd00:25::254
line n route add 10.26.0.0/24 via 10.25.0.2
line n route add fd00:26::/64 via fd00:25::2

run_lines
on s roundtrip serve $addresses >/run/serving &
server=$!
options=
for interface in $interfaces; do
    options="$options --interface $interface"
done
start=$(cut -d. -f1 /proc/uptime)
on d lvsd --config $rules $native $options >/run/lvsd.log 2>&1 &
daemon=$!
until lvsadm -Ln >/dev/null 2>&1; do
    kill -0 $daemon || { cat /run/lvsd.log; exit 1; }
    sleep 1
done
until grep -q ready /run/serving; do
    kill -0 $server || exit 1
    sleep 1
done
echo "lvsd runs after $(($(cut -d. -f1 /proc/uptime) - start)) s"

failed=0
ask() { # N NAME LASTS
    local last address said
    for last in $3; do
        for address in 10.$1.0.$last fd00:$1::$last; do
            if said=$(on c roundtrip ask $address 307200 2>&1); then
                echo "ok: $2, $address"
            else
                echo "failed: $2, $address: $said"
                failed=1
            fi
        done
    done
}
while IFS=: read -r number name lasts; do
    ask $number "$name" "$lasts" </dev/null
done <$kinds

# The card's own counter, of what left by it without a socket buffer.
if [ "$(on d ethtool -S card | sed -n 's/.*rx_queue_0_xdp_tx: //p')" -lt 100 ]; then
    echo "failed: nothing left a virtio card by XDP"
    failed=1
fi

# The other port of a bond and of a team take over.
ip -n d link set $(on d cat /proc/net/bonding/bond0 | sed -n 's/^Currently Active Slave: //p') down
active_port tp2
ask 18 "a bond whose other port took over" "101 102 103"
ask 21 "a team whose other port took over" "101 102 103"

lvsadm --status
if [ $failed = 1 ]; then
    lvsadm --verdicts
    cat /run/lvsd.log
    exit 1
fi
