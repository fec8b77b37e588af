//! Keywords of checks.

use lvs_health::checkers::{self, dns};

use super::keyword::{Key, Keyword, Kind, Scope};

const RHYTHMS: Scope = Scope::BOTH.and(Scope::REAL);
const TIMES: Scope = Scope::BOTH.and(Scope::CHECK).and(Scope::REAL);

pub(super) const WHAT: &[Keyword] = &[
    Keyword {
        key: Key::CheckType,
        name: "checktype",
        scope: Scope::CHECKS,
        kind: Kind::CheckType,
        default: "`negotiate`",
        example: "checktype = connect",
        text: "How real servers are checked. `connect`: the server's machine accepts a TCP connection, which \
               is reset before its program hears of it (an echo request is answered if the virtual service is \
               UDP). `negotiate`: the service does what is asked of it. A number N: one `negotiate`, then N \
               times `connect`, and again; after a failure, and for UDP, always `negotiate`. `ping`: an echo \
               request is answered. `external`: a command says so. `external-perl`: the same with a Perl \
               script. `on`: always up. `off`: never made up.",
    },
    Keyword {
        key: Key::Service,
        name: "service",
        scope: Scope::CHECKS,
        kind: Kind::Word(checkers::NAMES),
        default: "by the port of the virtual service, else `none`",
        example: "service = http",
        text: "What `negotiate` speaks; the table of services says what each asks and expects. `none` \
               asks nothing: the server is always up.",
    },
    Keyword {
        key: Key::Check,
        name: "check",
        scope: Scope::VIRTUAL,
        kind: Kind::Check,
        default: "the one check that `checktype` and the other keywords describe",
        example: "check = negotiate service=http request=\"/health\" status=200 timeoutresponse=500ms",
        text: "One of several checks, every one of which has to hold for a server to be up. The type is \
               followed by options `keyword=value`; what they do not say holds as it is written for the \
               virtual service. As soon as there is one `check` line, these are the checks: `checktype` by \
               itself makes no further one.",
    },
    Keyword {
        key: Key::CheckCommand,
        name: "checkcommand",
        scope: Scope::CHECKS,
        kind: Kind::Text,
        default: "`/bin/true`",
        example: "checkcommand = /usr/local/lib/check-role",
        text: "Path of the command of `external`. It gets four arguments: virtual address (or firewall mark), \
               virtual port, address of the server, its port; and the environment that HAProxy gives to such \
               commands. Exit code 0 is good. What the command leaves running is ended; of root's commands what stays in their process group.",
    },
    Keyword {
        key: Key::CheckUser,
        name: "checkuser",
        scope: TIMES,
        kind: Kind::Text,
        default: "`nobody`, or lvsd's option `--check-user`",
        example: "checkuser = monitor:ssl-cert",
        text: "User that commands of health checks run as (`external`, `external-perl`, and the client of \
               `oracle`), with its own group or the one after the colon, and without lvsd's privileges: so the user \
               has to be allowed to read and execute the script. ldirectord runs them as root; `checkuser = root` \
               does that, with all privileges that lvsd was started with. It is the remedy for programs of another \
               architecture (32-bit ones), too: the filter of system calls that the others run under ends them. \
               Commands that act on the system (`fallbackcommand`, `quorum_up`, `eventcommand`, `callback` and their \
               like) always run so.",
    },
    Keyword {
        key: Key::CheckPort,
        name: "checkport",
        scope: Scope::CHECKS,
        kind: Kind::Number {
            least: 1,
            most: 65535,
        },
        default: "the real server's port, else the one of the service",
        example: "checkport = 8081",
        text: "Port that is checked.",
    },
    Keyword {
        key: Key::CheckPath,
        name: "checkpath",
        scope: Scope::CHECKS,
        kind: Kind::Word(&["own", "service"]),
        default: "`own`",
        example: "checkpath = service",
        text: "`own`: a probe goes to the server's own address. `service`: it goes to the virtual address, by \
               way of this server, as packets of clients do: in a frame to the server's Ethernet address \
               (`gate`) or in a tunnel (`ipip`). So a server is found out that answers at its own address but \
               lost the virtual one, the settings or the device that go with it, or whose service does not \
               listen there. The port is that of the virtual service, or `checkport`. Such a probe comes from \
               the director's address on the way to the server (or from `checksource`), and the answer has to \
               arrive at an interface that lvsd runs on. What connects by itself (`external`, and `oracle` \
               through its client) always asks the server's own address; so do all checks of a server with \
               `masq`. `checktype = ping` asks whether the virtual address is there.",
    },
    Keyword {
        key: Key::CheckSource,
        name: "checksource",
        scope: TIMES,
        kind: Kind::Address,
        default: "as the kernel chooses",
        example: "checksource = 10.0.0.254",
        text: "Address that probes come from.",
    },
];

pub(super) const NEGOTIATION: &[Keyword] = &[
    Keyword {
        key: Key::Request,
        name: "request",
        scope: Scope::CHECKS,
        kind: Kind::Quoted,
        default: "`\"/\"`; nothing, of services other than http",
        example: "request = \"/health\"",
        text: "What is asked for; the table of services says what that is. A `/` at the beginning is added \
               for http if it is missing, and removed for all others.",
    },
    Keyword {
        key: Key::Receive,
        name: "receive",
        scope: Scope::CHECKS,
        kind: Kind::Pattern,
        default: "anything",
        example: "receive = \"status: (ok|fine)\"",
        text: "Regular expression, as Perl has them, that must match somewhere in the answer.",
    },
    Keyword {
        key: Key::ReceiveNot,
        name: "receivenot",
        scope: Scope::CHECKS,
        kind: Kind::NegativePattern,
        default: "none",
        example: "receivenot = \"(?i)maintenance\"",
        text: "Regular expression that must not match. A check has one of `receive` and `receivenot`; who wants \
               both writes two `check` lines.",
    },
    Keyword {
        key: Key::Status,
        name: "status",
        scope: Scope::CHECKS,
        kind: Kind::Status,
        default: "`200-299`",
        example: "status = 200-299, 304",
        text: "Status codes of HTTP that are good.",
    },
    Keyword {
        key: Key::HttpMethod,
        name: "httpmethod",
        scope: Scope::CHECKS,
        kind: Kind::Word(&["GET", "HEAD"]),
        default: "`GET`",
        example: "httpmethod = HEAD",
        text: "Method of HTTP requests. With `HEAD` there is no body for `receive` to match.",
    },
    Keyword {
        key: Key::VirtualHost,
        name: "virtualhost",
        scope: Scope::CHECKS,
        kind: Kind::Text,
        default: "the server's address",
        example: "virtualhost = www.example.com",
        text: "Name of the web site, sent as `Host`.",
    },
    Keyword {
        key: Key::Redirects,
        name: "redirects",
        scope: Scope::CHECKS,
        kind: Kind::Number { least: 0, most: 20 },
        default: "7",
        example: "redirects = 0",
        text: "How many redirects of HTTP are followed. Each may lead to another machine, which then answers \
               for the real server.",
    },
    Keyword {
        key: Key::MaxHead,
        name: "maxhead",
        scope: Scope::CHECKS,
        kind: Kind::Number {
            least: 8192,
            most: 16_777_216,
        },
        default: "65536",
        example: "maxhead = 262144",
        text: "Bytes of the status line and header lines of an HTTP answer, of which there may be one for each 128 bytes. \
               With more the check fails.",
    },
    Keyword {
        key: Key::MaxBody,
        name: "maxbody",
        scope: Scope::CHECKS,
        kind: Kind::Number {
            least: 1,
            most: 67_108_864,
        },
        default: "1048576",
        example: "maxbody = 4194304",
        text: "Bytes of the body of an HTTP answer that are read and searched for `receive`. What follows \
               is not read.",
    },
    Keyword {
        key: Key::Login,
        name: "login",
        scope: Scope::CHECKS,
        kind: Kind::Quoted,
        default: "none; ftp: `anonymous`; sip: `ldirectord@` and the host's name",
        example: "login = \"check\"",
        text: "Name to log in with.",
    },
    Keyword {
        key: Key::Passwd,
        name: "passwd",
        scope: Scope::CHECKS,
        kind: Kind::Quoted,
        default: "none; ftp: `ldirectord@` and the host's name",
        example: "passwd = \"secret\"",
        text: "Password to log in with.",
    },
    Keyword {
        key: Key::Database,
        name: "database",
        scope: Scope::CHECKS,
        kind: Kind::Quoted,
        default: "none",
        example: "database = \"shop\"",
        text: "Data base that is queried by mysql, pgsql and oracle.",
    },
    Keyword {
        key: Key::Row,
        name: "row",
        scope: Scope::CHECKS,
        kind: Kind::Pattern,
        default: "anything",
        example: "row = \"^0$\"",
        text: "Regular expression that one of the rows of a query must match, its columns with tabs between. \
               `receive` has never been looked at by these checks, and is not now.",
    },
    Keyword {
        key: Key::Secret,
        name: "secret",
        scope: Scope::CHECKS,
        kind: Kind::Quoted,
        default: "none",
        example: "secret = \"testing123\"",
        text: "Secret shared with a RADIUS server.",
    },
    Keyword {
        key: Key::Record,
        name: "record",
        scope: Scope::CHECKS,
        kind: Kind::Word(dns::TYPES),
        default: "`A`; `PTR` if the request is an address",
        example: "record = MX",
        text: "Type of the DNS records that are asked for.",
    },
    Keyword {
        key: Key::Sni,
        name: "sni",
        scope: Scope::CHECKS,
        kind: Kind::Text,
        default: "none: no name is asked for and none is verified",
        example: "sni = www.example.com",
        text: "Name that is asked for in a TLS handshake (SNI) and that the certificate must be for.",
    },
    Keyword {
        key: Key::CaFile,
        name: "cafile",
        scope: TIMES,
        kind: Kind::Text,
        default: "the machine's authorities",
        example: "cafile = /etc/ssl/private-ca.pem",
        text: "File of certificates (PEM) of the authorities that a server's certificate must descend from.",
    },
    Keyword {
        key: Key::Verify,
        name: "verify",
        scope: TIMES,
        kind: Kind::Flag,
        default: "`yes`",
        example: "verify = no",
        text: "Whether certificates are verified.",
    },
    Keyword {
        key: Key::StartTls,
        name: "starttls",
        scope: Scope::CHECKS,
        kind: Kind::Flag,
        default: "`no`",
        example: "starttls = yes",
        text: "smtp and submission: begin TLS in the dialogue.",
    },
];

pub(super) const RHYTHM: &[Keyword] = &[
    Keyword {
        key: Key::CheckInterval,
        name: "checkinterval",
        scope: Scope::BOTH,
        kind: Kind::Time { zero: false },
        default: "10 s",
        example: "checkinterval = 5",
        text: "Time from the end of a probe to the next one. For a single virtual service it holds only with \
               `fork = yes`, as ever; `interval` always does.",
    },
    Keyword {
        key: Key::Interval,
        name: "interval",
        scope: RHYTHMS,
        kind: Kind::Time { zero: false },
        default: "`checkinterval`",
        example: "interval = 500ms",
        text: "Time from the end of a probe to the next one, while the server is up and nothing speaks \
               against it.",
    },
    Keyword {
        key: Key::FastInterval,
        name: "fastinterval",
        scope: RHYTHMS,
        kind: Kind::Time { zero: false },
        default: "`interval`",
        example: "fastinterval = 100ms",
        text: "The same while the state may be about to change: after a first failure or a first success.",
    },
    Keyword {
        key: Key::DownInterval,
        name: "downinterval",
        scope: RHYTHMS,
        kind: Kind::Time { zero: false },
        default: "`interval`",
        example: "downinterval = 5s",
        text: "The same while the server is down.",
    },
    Keyword {
        key: Key::Jitter,
        name: "jitter",
        scope: RHYTHMS,
        kind: Kind::Number { least: 0, most: 50 },
        default: "0",
        example: "jitter = 10",
        text: "Each interval is made longer or shorter by chance, by this many percent at most, so that probes \
               do not fall together.",
    },
    Keyword {
        key: Key::FailureCount,
        name: "failurecount",
        scope: Scope::BOTH,
        kind: Kind::Number {
            least: 1,
            most: 1_000_000,
        },
        default: "1",
        example: "failurecount = 3",
        text: "Failures in a row that make a server be down. `fall` is the same.",
    },
    Keyword {
        key: Key::Fall,
        name: "fall",
        scope: RHYTHMS,
        kind: Kind::Number {
            least: 1,
            most: 1_000_000,
        },
        default: "`failurecount`",
        example: "fall = 3",
        text: "Failures in a row that make a server be down.",
    },
    Keyword {
        key: Key::Rise,
        name: "rise",
        scope: RHYTHMS,
        kind: Kind::Number {
            least: 1,
            most: 1_000_000,
        },
        default: "1",
        example: "rise = 2",
        text: "Good probes in a row that make a server that was down be up. The first probe after a start \
               counts by itself.",
    },
    Keyword {
        key: Key::CheckTimeout,
        name: "checktimeout",
        scope: TIMES,
        kind: Kind::Time { zero: false },
        default: "`negotiatetimeout` if it is given, else 5 s",
        example: "checktimeout = 3",
        text: "Longest time of a check of type connect, external and ping, and of the services ldap, ldaps and \
               radius.",
    },
    Keyword {
        key: Key::NegotiateTimeout,
        name: "negotiatetimeout",
        scope: TIMES,
        kind: Kind::Time { zero: false },
        default: "`checktimeout` if it is given, else 30 s",
        example: "negotiatetimeout = 10",
        text: "Longest time of all other checks, connection included.",
    },
    Keyword {
        key: Key::HangTimeout,
        name: "hangtimeout",
        scope: RHYTHMS,
        kind: Kind::Time { zero: true },
        default: "0: a server has the whole time of its check",
        example: "hangtimeout = 500ms",
        text: "Time without an answer after which a server that is up may hang; it is twice its slowest answer of \
               the last 10 to 20 minutes if that is longer. Three others at most, drawn at random, are asked then \
               by the same check: real servers on other hosts that the virtual service sends new connections to \
               at the moment. The server itself is asked once more. If most of the others answer at once, it is \
               asked a last time, and halfway through that time again. It hangs if it answers nothing on any of \
               these connections, three beside the first, in as much time again: that counts as three failures. A \
               good answer on one of them passes the check. If too few of the others answer, or one is silent, \
               this is done anew, three times at most. Servers of one host at most are found hung at a time, and \
               never those of the last one that serves: what several hosts share, as a database or a rack, is not \
               to take them all down. So the check has its whole time if another host's server takes longer than \
               is usual for it, or was found hung less than the time of its check ago; where `interval` is longer \
               than twice this time, the first of several can be found hung before the others are checked. The \
               check also has its whole time if the server refuses to be asked again, if 64 of these connections \
               to all servers are under way, and for 10 to 20 minutes after a pause that it would have borne. \
               There is no effect on checks by commands, on `udp`, on connections between negotiations, and where \
               2.5 times this time is not less than that of the check.",
    },
    Keyword {
        key: Key::TimeoutConnect,
        name: "timeoutconnect",
        scope: TIMES,
        kind: Kind::Time { zero: false },
        default: "the time of the whole check",
        example: "timeoutconnect = 300ms",
        text: "Longest time until there is a connection.",
    },
    Keyword {
        key: Key::TimeoutResponse,
        name: "timeoutresponse",
        scope: TIMES,
        kind: Kind::Time { zero: false },
        default: "what the connection leaves of the time of the whole check",
        example: "timeoutresponse = 2s",
        text: "Longest time from the connection to the end of the answer. With it, the whole check may take \
               `timeoutconnect` (or else the time it had) and this.",
    },
    Keyword {
        key: Key::CheckCount,
        name: "checkcount",
        scope: Scope::BOTH,
        kind: Kind::Number {
            least: 1,
            most: 100,
        },
        default: "1",
        example: "checkcount = 3",
        text: "Echo requests of a `ping`, one of which has to be answered, each within `checktimeout`. Old: \
               `fall` is the better way.",
    },
    Keyword {
        key: Key::Fork,
        name: "fork",
        scope: Scope::GLOBAL,
        kind: Kind::Flag,
        default: "`no`",
        example: "fork = yes",
        text: "Probes never wait for each other here, with or without. It only says whether a `checkinterval` \
               below a virtual service holds.",
    },
];
