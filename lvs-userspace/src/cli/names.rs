//! Names for addresses and ports: what `-n` does without.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use super::address;
use crate::model::{Protocol, ServiceId};

/// The protocol whose names the ports of a service and its servers go by: a mark counts as TCP.
pub(super) fn port_protocol(service: &ServiceId) -> Protocol {
    match service {
        ServiceId::Address { protocol, .. } => *protocol,
        ServiceId::Mark { .. } => Protocol::Tcp,
    }
}

/// Names of ports, as `/etc/services` has them.
#[derive(Default)]
pub(crate) struct ServiceNames {
    ports: HashMap<(String, Protocol), u16>,
    names: HashMap<(u16, Protocol), String>,
}

impl ServiceNames {
    /// This system's, read when the first one is asked for.
    pub(crate) fn system() -> &'static Self {
        static SYSTEM: LazyLock<ServiceNames> = LazyLock::new(|| {
            // A system without the file has no names: numbers still work.
            ServiceNames::from_text(&fs::read_to_string("/etc/services").unwrap_or_default())
        });
        &SYSTEM
    }

    /// Lines of `name port/protocol alias…`, `#` begins a comment; the first entry of a kind counts.
    pub(super) fn from_text(text: &str) -> Self {
        let mut known = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let (Some(name), Some(port)) = (words.next(), words.next()) else {
                continue;
            };
            let Some((port, protocol)) = port.split_once('/') else {
                continue;
            };
            let protocol = match protocol {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                "sctp" => Protocol::Sctp,
                _ => continue,
            };
            let Ok(port) = port.parse() else { continue };
            known
                .names
                .entry((port, protocol))
                .or_insert_with(|| name.to_owned());
            for name in std::iter::once(name).chain(words) {
                known
                    .ports
                    .entry((name.to_owned(), protocol))
                    .or_insert(port);
            }
        }
        known
    }

    /// The port of this name.
    pub(crate) fn port(&self, name: &str, protocol: Protocol) -> Option<u16> {
        self.ports.get(&(name.to_owned(), protocol)).copied()
    }

    fn name(&self, port: u16, protocol: Protocol) -> Option<&str> {
        self.names.get(&(port, protocol)).map(String::as_str)
    }
}

/// Writes addresses with ports, with names or (`-n`) without.
pub(crate) struct Names {
    /// Names found so far; `None` with `-n`.
    hosts: Option<HashMap<IpAddr, String>>,
    services: &'static ServiceNames,
}

impl Names {
    pub(crate) fn new(numeric: bool) -> Self {
        Self {
            hosts: (!numeric).then(HashMap::new),
            services: ServiceNames::system(),
        }
    }

    /// `host:port`, IPv6 in brackets.
    pub(super) fn text(&mut self, address: SocketAddr, protocol: Protocol) -> String {
        let (ip, port) = (address.ip(), address.port());
        let Some(hosts) = &mut self.hosts else {
            return join(ip, &address::text(ip), &port.to_string());
        };
        // The system's resolver; where it knows no name it answers the address as text.
        let host = hosts
            .entry(ip)
            .or_insert_with(|| dns_lookup::lookup_addr(&ip).unwrap_or_else(|_| address::text(ip)));
        match self.services.name(port, protocol) {
            Some(name) => join(ip, host, name),
            None => join(ip, host, &port.to_string()),
        }
    }
}

fn join(ip: IpAddr, host: &str, port: &str) -> String {
    if ip.is_ipv4() {
        format!("{host}:{port}")
    } else {
        format!("[{host}]:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_names_by_protocol() {
        let names = ServiceNames::from_text(
            "# well known\nhttp\t80/tcp  www # WorldWideWeb\nhttp 80/udp\nalso 80/tcp\nbad\nbad 1/ddp\n",
        );
        assert_eq!(names.port("www", Protocol::Tcp), Some(80));
        assert_eq!(names.port("www", Protocol::Udp), None);
        assert_eq!(names.name(80, Protocol::Tcp), Some("http"));
        assert_eq!(names.name(80, Protocol::Sctp), None);
        assert_eq!(names.port("bad", Protocol::Tcp), None);
    }

    #[test]
    fn addresses_are_written_with_and_without_names() {
        let mut numeric = Names::new(true);
        let address = "127.0.0.1:80".parse().expect("an address");
        assert_eq!(numeric.text(address, Protocol::Tcp), "127.0.0.1:80");
        let address = "[2001:db8::1]:80".parse().expect("an address");
        assert_eq!(numeric.text(address, Protocol::Tcp), "[2001:db8::1]:80");
        let mut named = Names::new(false);
        let address = "127.0.0.1:1".parse().expect("an address");
        assert!(
            named
                .text(address, Protocol::Sctp)
                .starts_with("localhost:")
        );
    }
}
