//! Services that `negotiate` speaks: their names and ports.

/// Names that `service` takes.
pub(super) const NAMES: &[&str] = &[
    "dns",
    "ftp",
    "http",
    "https",
    "http_proxy",
    "imap",
    "imaps",
    "ldap",
    "ldaps",
    "mysql",
    "nntp",
    "none",
    "oracle",
    "pgsql",
    "pop",
    "pops",
    "radius",
    "redis",
    "simpletcp",
    "sip",
    "smtp",
    "submission",
    "tls",
    "udp",
];

/// Types of DNS records that `record` takes.
pub(super) const RECORDS: &[&str] = &[
    "A", "AAAA", "ANY", "CAA", "CNAME", "DS", "DNSKEY", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA",
    "SRV", "SVCB", "TXT",
];

/// Services by the port of the virtual service, as ldirectord knows them. redis, tls and udp are not
/// among them: an old file with such a port means `none`.
const PORTS: &[(u16, &str)] = &[
    (21, "ftp"),
    (25, "smtp"),
    (53, "dns"),
    (80, "http"),
    (110, "pop"),
    (119, "nntp"),
    (143, "imap"),
    (389, "ldap"),
    (443, "https"),
    (587, "submission"),
    (636, "ldaps"),
    (993, "imaps"),
    (995, "pops"),
    (1521, "oracle"),
    (1812, "radius"),
    (3128, "http_proxy"),
    (3306, "mysql"),
    (5432, "pgsql"),
    (5060, "sip"),
];

/// The service of a virtual service with this port, where none is named.
pub(super) fn by_port(port: u16) -> &'static str {
    PORTS
        .iter()
        .find(|(known, _)| *known == port)
        .map_or("none", |(_, name)| name)
}

/// The port of a service, where no other is named.
pub(super) fn port(service: &str) -> Option<u16> {
    match service {
        "redis" => Some(6379),
        "tls" => Some(443),
        service => PORTS
            .iter()
            .find(|(_, name)| *name == service)
            .map(|(port, _)| *port),
    }
}
