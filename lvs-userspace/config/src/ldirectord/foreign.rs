//! Words of HAProxy, nginx and keepalived, and what they are here. docs/terminology.md has them in tables.

/// A word there, and the line here.
const KEYWORDS: &[(&str, &str)] = &[
    ("inter", "HAProxy's inter is interval here"),
    ("fastinter", "HAProxy's fastinter is fastinterval here"),
    ("downinter", "HAProxy's downinter is downinterval here"),
    ("spread-checks", "HAProxy's spread-checks is jitter here"),
    (
        "balance",
        "HAProxy's balance is scheduler here: roundrobin is wrr, leastconn wlc, source sh",
    ),
    ("bind", "HAProxy's bind is virtual = ADDRESS:PORT here"),
    ("listen", "listen is virtual = ADDRESS:PORT here"),
    (
        "frontend",
        "HAProxy's frontend and backend are one virtual = ADDRESS:PORT here",
    ),
    (
        "backend",
        "HAProxy's frontend and backend are one virtual = ADDRESS:PORT here",
    ),
    (
        "server",
        "server is real = ADDRESS:PORT gate, masq or ipip here",
    ),
    (
        "maxconn",
        "maxconn is the upper threshold at the end of a real line here: u:NUMBER",
    ),
    (
        "weight",
        "the weight follows the method on the real line: real = ADDRESS:PORT masq 3",
    ),
    (
        "option",
        "option httpchk is service = http with request here, option redispatch is redispatch = yes",
    ),
    (
        "retries",
        "a refused or unanswered SYN goes to another server with redispatch = yes",
    ),
    (
        "timeout",
        "timeout connect and check are timeoutconnect and timeoutresponse here, client and server tcptimeout",
    ),
    (
        "default_backend",
        "HAProxy's frontend and backend are one virtual = ADDRESS:PORT here",
    ),
    (
        "on-marked-down",
        "HAProxy's on-marked-down shutdown-sessions is ondown = reset here",
    ),
    ("observe", "HAProxy's observe layer4 is observe = path here"),
    (
        "error-limit",
        "HAProxy's error-limit is maxfails here, with observe = path",
    ),
    (
        "on-error",
        "HAProxy's on-error is onerror here, with observe = path",
    ),
    (
        "stick-table",
        "a client stays with its server with persistent = TIME here",
    ),
    (
        "upstream",
        "nginx's upstream is the real lines of a virtual service here",
    ),
    (
        "proxy_pass",
        "nginx's upstream is the real lines of a virtual service here",
    ),
    ("least_conn", "nginx's least_conn is scheduler = wlc here"),
    (
        "ip_hash",
        "nginx's ip_hash is scheduler = sh here, or persistent = TIME",
    ),
    (
        "max_fails",
        "nginx's max_fails is maxfails here, with observe = path; fall counts failed health checks",
    ),
    (
        "fail_timeout",
        "nginx's fail_timeout is failtimeout here, with observe = path",
    ),
    (
        "max_conns",
        "nginx's max_conns is the upper threshold at the end of a real line here: u:NUMBER",
    ),
    ("slow_start", "nginx's slow_start is slowstart here"),
    (
        "virtual_server",
        "keepalived's virtual_server is virtual = ADDRESS:PORT here",
    ),
    (
        "real_server",
        "keepalived's real_server is real = ADDRESS:PORT gate, masq or ipip here",
    ),
    ("delay_loop", "keepalived's delay_loop is interval here"),
    ("lb_algo", "keepalived's lb_algo is scheduler here"),
    ("lvs_sched", "keepalived's lvs_sched is scheduler here"),
    (
        "lb_kind",
        "keepalived's lb_kind stands on each real line here: DR is gate, NAT masq, TUN ipip",
    ),
    (
        "lvs_method",
        "keepalived's lvs_method stands on each real line here: DR is gate, NAT masq, TUN ipip",
    ),
    (
        "persistence_timeout",
        "keepalived's persistence_timeout is persistent here",
    ),
    (
        "persistence_granularity",
        "keepalived's persistence_granularity is netmask here",
    ),
    ("sorry_server", "keepalived's sorry_server is fallback here"),
    (
        "inhibit_on_failure",
        "keepalived's inhibit_on_failure is quiescent = yes here",
    ),
    (
        "connect_timeout",
        "keepalived's connect_timeout is timeoutconnect here",
    ),
    ("retry", "keepalived's retry is fall here, one higher"),
    (
        "lvs_timeouts",
        "keepalived's lvs_timeouts are tcptimeout, tcpfintimeout and udptimeout here",
    ),
    (
        "misc_path",
        "keepalived's MISC_CHECK is checktype = external with checkcommand here",
    ),
];

/// Schedulers there and here.
const SCHEDULERS: &[(&str, &str)] = &[
    ("roundrobin", "wrr"),
    ("static-rr", "wrr"),
    ("leastconn", "wlc"),
    ("least_conn", "wlc"),
    ("source", "sh"),
    ("ip_hash", "sh"),
    ("hash", "mh"),
    ("consistent", "mh"),
    ("random", "twos"),
    ("first", "wrr with persistent, or backup=yes"),
];

/// The keyword of this project for that of another program at the head of a line, as a hint.
pub(super) fn keyword(line: &str) -> Option<&'static str> {
    let word = line.split_whitespace().next()?;
    let found = KEYWORDS.iter().find(|(there, _)| *there == word);
    found.map(|(_, here)| *here)
}

/// The scheduler here that one of theirs is.
pub(super) fn scheduler(name: &str) -> Option<&'static str> {
    let found = SCHEDULERS.iter().find(|(there, _)| *there == name);
    found.map(|(_, here)| *here)
}
