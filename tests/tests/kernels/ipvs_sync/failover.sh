# The commands between braces are those of docs/migration.md.
trap 'cat /run/o.log' EXIT
active k
# The new director is the page's, with its defaults.
export LVS_SOCKET=/run/lvs/lvsd.sock
ours() { at o lvsadm "$@"; }
{The new director} >/run/o.log 2>&1 &
until_true ours -Ln
[ "$(ours role)" = backup ]
{The services}
ours --mark 5 -t 10.1.0.100:83
{The connections}
note daemons of k
kernel -L --daemon
note daemons of o
ours -L --daemon

# IPVS sends a connection at its third packet; for UDP that is the third request.
hold old 3
ask old 1
ask old 2
ask old first
until_true has ours 8
note o as backup
ours -Lcn
note k as master
kernel -Lcn

# A call: its template is sent with the third packet of its connection, in the same message.
modprobe ip_vs_pe_sip
kernel -A -u 10.1.0.100:5060 -s rr -p 300 --pe sip
kernel -a -u 10.1.0.100:5060 -r 10.1.0.4:5060 -g
ours -A -u 10.1.0.100:5060 -s rr -p 300 --pe sip
ours -a -u 10.1.0.100:5060 -r 10.1.0.4:5060 -g
printf 'OPTIONS sip:a@example.org SIP/2.0\r\nCall-ID: f81d4fae@10.1.0.3\r\n\r\n' |
    at c flow say 0.0.0.0:5060 10.1.0.100:5060 3
has_call() { ours -Lcn --persistent-conn | grep -q f81d4fae; }
until_true has_call
note call at k
kernel -Lcn --persistent-conn | grep 'sip .*f81d4fae'
note call at o
ours -Lcn --persistent-conn | grep 'sip .*f81d4fae'
note connection of the call at o
ours -Lcn | grep 10.1.0.3:5060
for director in kernel ours; do
    $director -D -u 10.1.0.100:5060
done

# As kernels before 2.6.39 tell it.
at k sysctl -qw net.ipv4.vs.sync_version=0
echo '?' | at c flow say 0.0.0.0:7000 10.1.0.100:80 3
has_old() { ours -Lcn | grep -q 10.1.0.3:7000; }
until_true has_old
note version 0 at o
ours -Lcn | grep 10.1.0.3:7000
at k sysctl -qw net.ipv4.vs.sync_version=1

{The switch}
ask old second
{Afterwards}
note end
trap - EXIT
