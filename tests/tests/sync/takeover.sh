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
{The connections}
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

{The switch}
ask old second
{Afterwards}
note end
trap - EXIT
