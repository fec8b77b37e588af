# Commands on the kernel's IPVS, then on the director, with the instructions of all processes for each.

modprobe ip_vs
modprobe ip_vs_wlc
modprobe veth
/bin/ip link add e0 type veth peer name e1
/bin/ip link set e0 up
/bin/ip link set e1 up
/bin/ip address add 10.91.1.1/24 dev e0
/bin/ip neigh replace 10.91.1.254 lladdr 02:00:00:00:00:fe dev e0 nud permanent
/bin/ip route add 10.0.0.0/8 via 10.91.1.254

awk 'BEGIN { for (service = 0; service < 2000; service++) {
    virtual = sprintf("10.200.%d.%d:80", service / 250, service % 250 + 1)
    print "-A -t " virtual " -s wlc"
    for (server = 0; server < 4; server++) {
        number = service * 4 + server
        printf "-a -t %s -r 10.50.%d.%d:8080 -m -w 5\n", virtual, number / 250, number % 250 + 1
    }
} }' >/tmp/rules

# Run time of all tasks in nanoseconds, each of them an instruction: rq_cpu_time in /proc/schedstat.
run_time() {
    awk '/^cpu/ { sum += $8 } END { printf "%.0f\n", sum }' /proc/schedstat
}

# NAME COMMAND...: until the command returns, and with what goes on for two seconds after it: both look at their
# counters every two seconds.
measure() {
    name=$1
    shift
    start=$(run_time)
    "$@" </tmp/rules >/tmp/said 2>&1 || { cat /tmp/said; exit 1; }
    returned=$(run_time)
    sleep 2
    end=$(run_time)
    echo "$kind $name $((returned - start)) $((end - returned))"
}

# What goes on by itself each second, the kernel's timers included: a minute less the time in which nothing ran.
measure_busy() {
    read -r begin idle </proc/uptime
    sleep 60
    read -r end later </proc/uptime
    echo "$begin $end $idle $later" | awk -v kind="$kind" '{
        printf "%s busy %.0f 0\n", kind, (($2 - $1) - ($4 - $3)) / ($2 - $1) * 1000000000
    }'
}

# PROGRAM
all() {
    for number in 1 2 3 4 5; do
        measure nothing true
    done
    measure restore $1 -R
    [ "$(grep -c . /tmp/said)" = 0 ] || { cat /tmp/said; exit 1; }
    sleep 2
    measure_busy
    for number in 1 2 3 4 5 6 7 8 9 10; do
        measure idle true
    done
    measure list $1 -Ln
    lines=$(grep -c . /tmp/said)
    [ "$lines" = 10003 ] || { echo "$lines lines listed"; exit 1; }
    for number in 1 2 3 4 5 6 7 8 9 10; do
        measure add $1 -a -t 10.200.0.1:80 -r 10.50.40.$number:8080 -m -w 5
    done
    for number in 1 2 3 4 5 6 7 8 9 10; do
        measure edit $1 -e -t 10.200.0.1:80 -r 10.50.40.1:8080 -m -w 7$number
    done
    measure save $1 -Sn
    measure clear $1 -C
}

kind=ipvs
all ipvsadm

export LVS_SOCKET=/run/own.sock
lvsd --bpffs /sys/fs/bpf/own --socket $LVS_SOCKET --interface e0 --table4 65536 --state /run/state >/run/log 2>&1 &
tries=0
until lvsadm --status >/run/status 2>&1; do
    tries=$((tries + 1))
    kill -0 $! && [ $tries -lt 600 ] || { cat /run/log; exit 1; }
    usleep 200000
done
sleep 3
kind=lvsd
all lvsadm
