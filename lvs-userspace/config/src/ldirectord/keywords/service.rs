//! Keywords of virtual services and their real servers.

use lvs_api::filter::LARGEST_LIMIT;

use super::keyword::{Key, Keyword, Kind, Scope};

pub(super) const VIRTUAL: &[Keyword] = &[
    Keyword {
        key: Key::Virtual,
        name: "virtual",
        scope: Scope::GLOBAL,
        kind: Kind::Virtual,
        default: "none",
        example: "virtual = 192.0.2.10:80",
        text: "Begins a virtual service: an IPv4 address or host name and a port or service name, or a \
               firewall mark (a number alone). What belongs to it follows, indented.",
    },
    Keyword {
        key: Key::Virtual6,
        name: "virtual6",
        scope: Scope::GLOBAL,
        kind: Kind::Virtual,
        default: "none",
        example: "virtual6 = [2001:db8::10]:80",
        text: "The same with IPv6: the address stands in brackets.",
    },
    Keyword {
        key: Key::Protocol,
        name: "protocol",
        scope: Scope::VIRTUAL,
        kind: Kind::Word(&["tcp", "udp", "sctp", "fwm"]),
        default: "`tcp`; `udp` if the port is 53; `fwm` for a firewall mark",
        example: "protocol = udp",
        text: "Protocol of the virtual service. It also says what a service name stands for.",
    },
    Keyword {
        key: Key::Scheduler,
        name: "scheduler",
        scope: Scope::VIRTUAL,
        kind: Kind::Letters,
        default: "`wrr`",
        example: "scheduler = wlc",
        text: "How new connections are shared among the real servers, one of ipvsadm's \
               names: rr, wrr, lc, wlc, sed, nq, fo, ovf, twos, lblc, lblcr, sh, dh, mh.",
    },
    Keyword {
        key: Key::SchedFlags,
        name: "schedflags",
        scope: Scope::VIRTUAL,
        kind: Kind::Text,
        default: "none",
        example: "schedflags = flag-1",
        text: "Flags of the scheduler, with commas (`sh-port,sh-fallback`), as ipvsadm's option -b takes them.",
    },
    Keyword {
        key: Key::Persistent,
        name: "persistent",
        scope: Scope::VIRTUAL,
        kind: Kind::Time { zero: true },
        default: "none",
        example: "persistent = 600",
        text: "Connections of one client go to one real server as long as it comes back within this time \
               (whole seconds).",
    },
    Keyword {
        key: Key::Netmask,
        name: "netmask",
        scope: Scope::VIRTUAL,
        kind: Kind::Netmask,
        default: "single clients",
        example: "netmask = 255.255.255.0",
        text: "With `persistent`: clients whose addresses agree in this mask count as one. For IPv6 the \
               length of a prefix, 1 to 128.",
    },
    Keyword {
        key: Key::PersistenceEngine,
        name: "persistenceengine",
        scope: Scope::VIRTUAL,
        kind: Kind::Word(&["sip", "no"]),
        default: "`no`",
        example: "persistenceengine = sip",
        text: "With `persistent`: `sip` keeps the messages of each call (Call-ID) of a client, or with `netmask` of \
               its network, with one real server. UDP only; a datagram that begins a connection and has no Call-ID is dropped.",
    },
    Keyword {
        key: Key::Ops,
        name: "ops",
        scope: Scope::VIRTUAL,
        kind: Kind::Flag,
        default: "`no`",
        example: "ops = yes",
        text: "One-packet scheduling of UDP: every packet is scheduled by itself.",
    },
    Keyword {
        key: Key::Snat,
        name: "snat",
        scope: Scope::BOTH.and(Scope::REAL),
        kind: Kind::Snat,
        default: "`no`",
        example: "snat = 10.0.0.1-10.0.0.4:1024-32767",
        text: "Full NAT: `masq` servers see an address of the director in place of the client's, so their replies \
               come back to it whatever route they have, also where clients, director and servers are in one \
               network. `auto` is the address of the route to the server; else one address of the director, or \
               the first and the last of a range, which have to be on its interfaces. Ports are those that the \
               director's own sockets leave alone (`ip_local_port_range`) unless a range follows; each address \
               has room for as many connections to one server as there are ports. `no` on a `real` line is an \
               exception.",
    },
    Keyword {
        key: Key::TcpTimeout,
        name: "tcptimeout",
        scope: Scope::BOTH,
        kind: Kind::Time { zero: true },
        default: "that of `lvsadm --set`, 900 s unless it was changed",
        example: "tcptimeout = 2h",
        text: "Time without a packet after which an established TCP connection is forgotten (whole seconds); \
               0: the default. It holds for connections that begin, or change their state, from then on.",
    },
    Keyword {
        key: Key::TcpFinTimeout,
        name: "tcpfintimeout",
        scope: Scope::BOTH,
        kind: Kind::Time { zero: true },
        default: "that of `lvsadm --set`, 120 s unless it was changed",
        example: "tcpfintimeout = 60",
        text: "The same for a TCP connection that one side has closed.",
    },
    Keyword {
        key: Key::UdpTimeout,
        name: "udptimeout",
        scope: Scope::BOTH,
        kind: Kind::Time { zero: true },
        default: "that of `lvsadm --set`, 300 s unless it was changed",
        example: "udptimeout = 10",
        text: "The same for UDP.",
    },
    Keyword {
        key: Key::ServiceName,
        name: "servicename",
        scope: Scope::VIRTUAL,
        kind: Kind::Literal,
        default: "none",
        example: "servicename = Web shop",
        text: "Name of the virtual service for people; stands in the subject of mails.",
    },
    Keyword {
        key: Key::Comment,
        name: "comment",
        scope: Scope::VIRTUAL,
        kind: Kind::Literal,
        default: "none",
        example: "comment = Ask the shop's people before a change",
        text: "Stands in the body of mails.",
    },
    Keyword {
        key: Key::Load,
        name: "load",
        scope: Scope::VIRTUAL,
        kind: Kind::Quoted,
        default: "none",
        example: "load = \"anything\"",
        text: "Taken for the sake of old files, and of no effect, as ever.",
    },
];

pub(super) const CLIENTS: &[Keyword] = &[
    Keyword {
        key: Key::Allow,
        name: "allow",
        scope: Scope::BOTH,
        kind: Kind::Prefixes,
        default: "everybody who is not denied",
        example: "allow = 198.51.100.0/24, 2001:db8:5::/48",
        text: "Clients that may begin connections; with it nobody else may. The longest prefix of `allow` and \
               `deny` that a client's address lies in decides, and one that stands in both denies. Prefixes of \
               the other address family than the virtual service's are ignored. May occur several times. \
               Connections that exist are not asked: a change ends none of them. Files are read again at each \
               reload.",
    },
    Keyword {
        key: Key::Deny,
        name: "deny",
        scope: Scope::BOTH,
        kind: Kind::Prefixes,
        default: "nobody",
        example: "deny = 203.0.113.0/24, 203.0.113.77",
        text: "Clients that may not begin connections: their packets are dropped and counted (`drop-denied` in \
               `lvsadm --verdicts`). See `allow`.",
    },
    Keyword {
        key: Key::LimitNew,
        name: "limitnew",
        scope: Scope::BOTH,
        kind: Kind::Number {
            least: 0,
            most: LARGEST_LIMIT,
        },
        default: "`0`, no limit",
        example: "limitnew = 20",
        text: "New connections of one client per second, and as many at once after a pause of a second. More are \
               dropped (`drop-client-new`).",
    },
    Keyword {
        key: Key::LimitOpen,
        name: "limitopen",
        scope: Scope::BOTH,
        kind: Kind::Number {
            least: 0,
            most: LARGEST_LIMIT,
        },
        default: "`0`, no limit",
        example: "limitopen = 100",
        text: "Connections that one client may have open at a time, until one side closes them; of UDP until they \
               are forgotten. More are dropped (`drop-client-open`).",
    },
    Keyword {
        key: Key::LimitPackets,
        name: "limitpackets",
        scope: Scope::BOTH,
        kind: Kind::Number {
            least: 0,
            most: LARGEST_LIMIT,
        },
        default: "`0`, no limit",
        example: "limitpackets = 5000",
        text: "Packets of one client per second, and as many at once after a pause of a second. More are dropped \
               (`drop-client-packets`), of connections that began under this limit. Each packet takes somewhat \
               longer with it.",
    },
    Keyword {
        key: Key::LimitPrefix,
        name: "limitprefix",
        scope: Scope::VIRTUAL,
        kind: Kind::Number {
            least: 1,
            most: 128,
        },
        default: "`32`, of IPv6 `64`",
        example: "limitprefix = 24",
        text: "Length of the prefix that is one client to `limitnew`, `limitopen` and `limitpackets`.",
    },
];

pub(super) const REAL: &[Keyword] = &[
    Keyword {
        key: Key::Real,
        name: "real",
        scope: Scope::VIRTUAL,
        kind: Kind::Real,
        default: "none",
        example: "real = 10.0.0.1->10.0.0.4:8080 masq 10 \"/health\", \"OK\" l:100 u:200 rise=3",
        text: "A real server: address or host name, or a range of addresses; port or service name (left out: \
               the virtual service's); `gate`, `masq` or `ipip`; then, each if wanted, weight (1 if left out), \
               `\"request\", \"receive\"` in place of the virtual service's, lower and upper threshold of \
               connections `l:` and `u:`, and options `keyword=value`: those below that name the scope \"real \
               server\".",
    },
    Keyword {
        key: Key::Real6,
        name: "real6",
        scope: Scope::VIRTUAL,
        kind: Kind::Real,
        default: "none",
        example: "real6 = [2001:db8::1]:80 gate",
        text: "The same for a `virtual6`.",
    },
    Keyword {
        key: Key::Servers,
        name: "servers",
        scope: Scope::VIRTUAL,
        kind: Kind::Servers,
        default: "none",
        example: "servers = web.example.com:8080 masq",
        text: "Real servers that are the addresses of a name: each A record (AAAA below a `virtual6`) is one. A name \
               that begins with `_`, as `_http._tcp.web.service.consul`, stands for SRV records: they have the ports, \
               the weights if the line has none, and priorities: servers of another than the best one are backup \
               servers. The rest of the line is as that of `real`. Name servers are asked again when the records' time \
               to live is over, not before a second and not after a minute; a change has the effect of a reload: a new \
               server gets traffic after its first good health check, and one that is gone leaves as `ondown` says. \
               While no name server answers, the last servers stay (also over a restart), and the log and `status` \
               say so; an answer without addresses means that there are none. At most 256 servers of a name are used. \
               The hosts file is not asked.",
    },
    Keyword {
        key: Key::NameServer,
        name: "nameserver",
        scope: Scope::GLOBAL,
        kind: Kind::NameServer,
        default: "those of /etc/resolv.conf",
        example: "nameserver = 127.0.0.1:8600",
        text: "Name server that is asked for the names of `servers` lines. `real` lines ask the machine's resolver.",
    },
    Keyword {
        key: Key::Backup,
        name: "backup",
        scope: Scope::REAL,
        kind: Kind::Flag,
        default: "`no`",
        example: "real = 10.0.0.9:80 gate backup=yes",
        text: "This server is used only while none of the others is up.",
    },
    Keyword {
        key: Key::AllBackups,
        name: "allbackups",
        scope: Scope::BOTH,
        kind: Kind::Flag,
        default: "`no`: the first that is up",
        example: "allbackups = yes",
        text: "When backup servers are needed, use all of them that are up at once.",
    },
    Keyword {
        key: Key::MaintenanceDir,
        name: "maintenancedir",
        scope: Scope::GLOBAL,
        kind: Kind::Text,
        default: "none",
        example: "maintenancedir = /etc/ha.d/maintenance",
        text: "A file in this directory named after a real server takes it out at once: `address:port`, \
               `address`, or the same with its full or short host name. IPv6 addresses stand in brackets.",
    },
];

pub(super) const WEIGHTS: &[Keyword] = &[
    Keyword {
        key: Key::WeightBy,
        name: "weightby",
        scope: Scope::BOTH.and(Scope::REAL),
        kind: Kind::WeightBy,
        default: "`configured`",
        example: "weightby = agent:9999",
        text: "What a server's weight follows: `configured`: the file alone. `script`: the exit code of its \
               external check, 0 as configured, 2 to 255 that number less two, 1 down. `agent:PORT`: the line that is \
               read from that port of the server: words as `75%`, `up`, `down`, `drain`, `maint`, `ready`. \
               `time`: how long its probes take (the lower quartile of the last nine), compared with the fastest \
               server; below 5 ms all are equal.",
    },
    Keyword {
        key: Key::AgentInterval,
        name: "agentinterval",
        scope: Scope::BOTH.and(Scope::REAL),
        kind: Kind::Time { zero: false },
        default: "`interval`",
        example: "agentinterval = 2s",
        text: "How often an agent is asked.",
    },
    Keyword {
        key: Key::AgentSend,
        name: "agentsend",
        scope: Scope::BOTH.and(Scope::REAL),
        kind: Kind::Text,
        default: "none",
        example: "agentsend = \"shop\\n\"",
        text: "Sent to the agent before its line is read; `\\n` stands for a line feed.",
    },
    Keyword {
        key: Key::SlowStart,
        name: "slowstart",
        scope: Scope::BOTH,
        kind: Kind::Time { zero: true },
        default: "0: at once",
        example: "slowstart = 30s",
        text: "The time in which a server that came back grows from a small weight to its own.",
    },
    Keyword {
        key: Key::Quorum,
        name: "quorum",
        scope: Scope::VIRTUAL,
        kind: Kind::Number {
            least: 0,
            most: i32::MAX as u32,
        },
        default: "0: none",
        example: "quorum = 3",
        text: "Sum of the weights of servers that has to be up for the virtual service to be in order. Without \
               it the `fallback` serves, and the servers that are left keep the connections they have, as with \
               keepalived's sorry server; where there is no `fallback`, they go on as they are.",
    },
    Keyword {
        key: Key::Hysteresis,
        name: "hysteresis",
        scope: Scope::VIRTUAL,
        kind: Kind::Number {
            least: 0,
            most: i32::MAX as u32,
        },
        default: "0",
        example: "hysteresis = 1",
        text: "The quorum is gained at `quorum` plus this, and lost below `quorum` less this.",
    },
    Keyword {
        key: Key::QuorumUp,
        name: "quorum_up",
        scope: Scope::BOTH,
        kind: Kind::Text,
        default: "none",
        example: "quorum_up = \"/usr/local/sbin/announce 192.0.2.10\"",
        text: "Command that is run when the quorum is gained.",
    },
    Keyword {
        key: Key::QuorumDown,
        name: "quorum_down",
        scope: Scope::BOTH,
        kind: Kind::Text,
        default: "none",
        example: "quorum_down = \"/usr/local/sbin/withdraw 192.0.2.10\"",
        text: "Command that is run when the quorum is lost.",
    },
];

pub(super) const FALLBACK: &[Keyword] = &[
    Keyword {
        key: Key::Fallback,
        name: "fallback",
        scope: Scope::BOTH,
        kind: Kind::Fallback,
        default: "none",
        example: "fallback = 127.0.0.1:80 gate, 10.0.0.99:8080 masq",
        text: "Servers that are used while no real server is up, or too few for the `quorum`, with commas \
               between them: host, port (left out: the virtual service's), method (left out: `gate`).",
    },
    Keyword {
        key: Key::Fallback6,
        name: "fallback6",
        scope: Scope::BOTH,
        kind: Kind::Fallback6,
        default: "none",
        example: "fallback6 = [::1]:80",
        text: "The same for each `virtual6`.",
    },
    Keyword {
        key: Key::FallbackCommand,
        name: "fallbackcommand",
        scope: Scope::BOTH,
        kind: Kind::Text,
        default: "none",
        example: "fallbackcommand = \"/usr/local/sbin/sorry\"",
        text: "Command that is run by the shell with `start` when the last server went down, and with `stop` \
               when the first one came back; further arguments are `address:port` of the virtual service and \
               its protocol.",
    },
];

pub(super) const CHANGES: &[Keyword] = &[
    Keyword {
        key: Key::Quiescent,
        name: "quiescent",
        scope: Scope::BOTH,
        kind: Kind::Flag,
        default: "`no`",
        example: "quiescent = yes",
        text: "A server that goes down keeps its entry with weight 0, so that clients with `persistent` still \
               get to it, instead of being removed.",
    },
    Keyword {
        key: Key::ReaddQuiescent,
        name: "readdquiescent",
        scope: Scope::GLOBAL,
        kind: Kind::Flag,
        default: "`no`",
        example: "readdquiescent = yes",
        text: "With `quiescent`: an entry that somebody deleted is made again, with weight 0.",
    },
    Keyword {
        key: Key::OnDown,
        name: "ondown",
        scope: Scope::BOTH,
        kind: Kind::Word(&["keep", "reset", "reschedule"]),
        default: "`keep`",
        example: "ondown = reset",
        text: "What becomes of the connections of a server that goes down, is taken out (`maint`, \
               `maintenancedir`, its agent) or leaves the file. `keep`: nothing, as with ldirectord. With \
               `quiescent` their packets go to the server as before; without it the server leaves the tables, and \
               until it is back they are dropped: clients wait until their own timeouts. `reschedule`: a SYN or a \
               UDP datagram goes to another server, and any other TCP segment is answered with a reset: no other \
               server could go on with its stream. `reset`: the same, and at once on both sides: clients that wait \
               in silence are made to speak, and the server, which may be alive, is sent a reset, so that it lets go \
               of sessions, transactions and locks. It takes a second or two.",
    },
    Keyword {
        key: Key::Preset,
        name: "preset",
        scope: Scope::GLOBAL,
        kind: Kind::Word(&["modern"]),
        default: "none: a file in ldirectord's words means what it means there",
        example: "preset = modern",
        text: "Defaults for whoever begins today, as if they stood at the beginning of the file: `ondown = reset`, \
               `redispatch = yes`, `interval = 400ms`, `fastinterval = 100ms` (where a check runs a command, `2s` and \
               `500ms`), `fall = 2`, `rise = 2`, `jitter = 10`, `checktimeout = 2s`, `negotiatetimeout = 2s`, \
               `hangtimeout = 250ms`. What the file says itself takes precedence, by these words or, at the beginning \
               of a line, by the older ones `checkinterval` and `failurecount`. Where it says how long a check or its \
               answer may take, or how many failures make a server be down (`fall`, `failurecount`), there is no \
               `hangtimeout` unless it says that, too.",
    },
    Keyword {
        key: Key::Redispatch,
        name: "redispatch",
        scope: Scope::BOTH,
        kind: Kind::Flag,
        default: "`no`",
        example: "redispatch = yes",
        text: "A client that repeats its SYN because the server does not answer is given to another server. By NAT \
               a refusal (a reset in answer to the SYN) is kept from the client once, so that it repeats its SYN, \
               too. A persistent client stays where it (or its network) already has had connections.",
    },
    Keyword {
        key: Key::Observe,
        name: "observe",
        scope: Scope::BOTH,
        kind: Kind::Word(&["path", "no"]),
        default: "`no`",
        example: "observe = path",
        text: "What connections of clients say of a server. A SYN that it does not answer, so that the client repeats \
               it, and by NAT one that it refuses with a reset, always makes its health checks be made at once. \
               `path`: as HAProxy's `observe layer4` and nginx's `max_fails`, such failures also count themselves: \
               `maxfails` of them within `failtimeout` are what `onerror` says. A server that went down so comes back \
               by its health checks; while these never failed, which they do if they do not see what clients see \
               (also `checktype = on`), after `failtimeout`. The last server that is up is left to its health checks. \
               By `gate` and `ipip` nobody sees the server's answers: a client that repeats SYNs on purpose looks as \
               one that is not answered; with `fail-check` and a `fall` of 2 or more the health checks have the last \
               word.",
    },
    Keyword {
        key: Key::MaxFails,
        name: "maxfails",
        scope: Scope::BOTH,
        kind: Kind::Number {
            least: 1,
            most: 1_000_000,
        },
        default: "10, as HAProxy's `error-limit` (nginx's `max_fails` is 1)",
        example: "maxfails = 3",
        text: "With `observe = path`: failures of clients' connections to one server within `failtimeout` that count.",
    },
    Keyword {
        key: Key::FailTimeout,
        name: "failtimeout",
        scope: Scope::BOTH,
        kind: Kind::Time { zero: false },
        default: "10 s, as nginx's `fail_timeout`",
        example: "failtimeout = 30s",
        text: "With `observe = path`: the time in which `maxfails` failures count together, and for which a server \
               that went down so stays out if its health checks find nothing wrong, both as in nginx.",
    },
    Keyword {
        key: Key::OnError,
        name: "onerror",
        scope: Scope::BOTH,
        kind: Kind::Word(&["fail-check", "sudden-death", "mark-down"]),
        default: "`fail-check`, as HAProxy's `on-error`",
        example: "onerror = mark-down",
        text: "With `observe = path`: what `maxfails` failures are, in HAProxy's words. `fail-check`: one failed \
               health check, of the `fall` that it takes. `sudden-death`: as many that one more failed health \
               check makes the server be down. `mark-down`: the server is down at once, as with nginx.",
    },
    Keyword {
        key: Key::CleanStop,
        name: "cleanstop",
        scope: Scope::BOTH,
        kind: Kind::Flag,
        default: "`yes`",
        example: "cleanstop = no",
        text: "The virtual service is withdrawn when the daemon is stopped.",
    },
    Keyword {
        key: Key::MonitorFile,
        name: "monitorfile",
        scope: Scope::VIRTUAL,
        kind: Kind::Text,
        default: "none",
        example: "monitorfile = /var/log/shop.checks",
        text: "A line is appended to this file for each probe of the virtual service.",
    },
];
