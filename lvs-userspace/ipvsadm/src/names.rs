//! Addresses and ports in listings: by name, or as numbers (`-n`).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use lvs_api::model::Protocol;

use super::address;
use super::ports::ServiceNames;

/// Formats addresses with ports, by name or as numbers.
pub struct Names {
    /// Host names that were looked up so far; `None` with `-n`.
    hosts: Option<HashMap<IpAddr, String>>,
    services: &'static ServiceNames,
}

impl Names {
    /// Numbers only with `numeric`, else names where they exist.
    pub fn new(numeric: bool) -> Self {
        Self {
            hosts: (!numeric).then(HashMap::new),
            services: ServiceNames::system(),
        }
    }

    /// `host:port`, IPv6 in brackets.
    pub fn text(&mut self, address: SocketAddr, protocol: Protocol) -> String {
        let (ip, port) = (address.ip(), address.port());
        let Some(hosts) = &mut self.hosts else {
            return join(ip, &address::text(ip), &port.to_string());
        };
        // The system's resolver, which answers the address as text where it knows no name.
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
