//! Virtual services and real servers as command lines name them.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use lvs_api::health::{Health, ServerHealth, ServiceHealth};
use lvs_api::model::{Protocol, ServiceId};

use super::failure::Failure;

/// A virtual service as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VirtualName {
    /// Every virtual service.
    All,
    /// By address: a protocol, if one is given, and `host:port`.
    Address(Option<Protocol>, String),
    /// By its firewall mark.
    Mark(u32),
    /// By its `servicename`.
    Name(String),
}

impl FromStr for VirtualName {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        if word == "all" {
            return Ok(Self::All);
        }
        if let Some(Ok(mark)) = word.strip_prefix("fwm:").map(str::parse) {
            return Ok(Self::Mark(mark));
        }
        let protocols = [
            ("tcp:", Protocol::Tcp),
            ("udp:", Protocol::Udp),
            ("sctp:", Protocol::Sctp),
        ];
        for (prefix, protocol) in protocols {
            if let Some(address) = word.strip_prefix(prefix) {
                return Ok(Self::Address(Some(protocol), address.to_owned()));
            }
        }
        Ok(match word.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => Self::Address(None, word.to_owned()),
            _ => Self::Name(word.to_owned()),
        })
    }
}

/// Target of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// One virtual service, or all that have the server.
    pub(super) service: Option<ServiceId>,
    /// The server; port 0: any port.
    pub(super) server: SocketAddr,
}

impl Target {
    /// Finds the target among the existing services and servers.
    pub(super) fn find(
        health: &Health,
        service: &VirtualName,
        server: &str,
    ) -> Result<Self, Failure> {
        let services = services(health, service)?;
        let servers = services.iter().flat_map(|service| &service.servers);
        let address = address_of(&servers, server).ok_or_else(|| {
            let mut there: Vec<_> = servers.map(|server| server.address.to_string()).collect();
            there.sort();
            there.dedup();
            Failure::unknown("real server", server, &there)
        })?;
        Ok(Self {
            service: match (service, services.as_slice()) {
                (VirtualName::All, _) => None,
                (_, [one]) => Some(one.id),
                (_, several) => {
                    let names: Vec<_> = several
                        .iter()
                        .map(|service| service.id.to_string())
                        .collect();
                    return Err(Failure::Ambiguous(names));
                }
            },
            server: address,
        })
    }

    /// The servers that it matches.
    pub(super) fn servers<'a>(
        &'a self,
        health: &'a Health,
    ) -> impl Iterator<Item = &'a ServerHealth> {
        health
            .services
            .iter()
            .filter(|service| self.service.is_none_or(|id| id == service.id))
            .flat_map(|service| &service.servers)
            .filter(|server| matches(server.address, self.server))
    }
}

fn matches(server: SocketAddr, wanted: SocketAddr) -> bool {
    server.ip() == wanted.ip() && (wanted.port() == 0 || server.port() == wanted.port())
}

/// The one virtual service of a list that an operator names. Names of the file are those of `health`.
pub(super) fn one_service(
    ids: &[ServiceId],
    health: &Health,
    name: &VirtualName,
) -> Result<Option<ServiceId>, Failure> {
    let named: Vec<_> = match name {
        VirtualName::All => return Ok(None),
        VirtualName::Name(_) => services(health, name)?
            .iter()
            .map(|service| service.id)
            .collect(),
        VirtualName::Address(_, word) => {
            let addresses = resolve(word);
            let ids = ids.iter().copied();
            ids.filter(|id| has_address(id, name, &addresses)).collect()
        }
        VirtualName::Mark(_) => {
            let ids = ids.iter().copied();
            ids.filter(|id| has_address(id, name, &[])).collect()
        }
    };
    match named.as_slice() {
        [one] => Ok(Some(*one)),
        [] => {
            let there: Vec<_> = ids.iter().map(ServiceId::to_string).collect();
            Err(Failure::no_service(&said(name), &there))
        }
        several => Err(Failure::Ambiguous(
            several.iter().map(ServiceId::to_string).collect(),
        )),
    }
}

/// The address of a server that need not be there; without a port it has that of the service.
pub(super) fn address_at(word: &str, service: &ServiceId) -> Result<SocketAddr, Failure> {
    let port = match service {
        ServiceId::Address { address, .. } => address.port(),
        ServiceId::Mark { .. } => 0,
    };
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().map(|ip: IpAddr| SocketAddr::new(ip, port));
    address.or_else(|_| word.parse()).map_err(|_| {
        Failure::Usage(format!(
            "`{word}' is no address such as 10.0.0.1, 10.0.0.1:80 or [2001:db8::1]:80"
        ))
    })
}

/// Returns whether a service is the one with this mark, or with one of the addresses that a name stands for.
fn has_address(id: &ServiceId, name: &VirtualName, addresses: &[SocketAddr]) -> bool {
    match (name, id) {
        (VirtualName::Mark(wanted), ServiceId::Mark { mark, .. }) => wanted == mark,
        (VirtualName::Address(wanted, _), ServiceId::Address { protocol, address }) => {
            wanted.is_none_or(|wanted| wanted == *protocol) && addresses.contains(address)
        }
        _ => false,
    }
}

/// A name as an operator gave it.
fn said(name: &VirtualName) -> String {
    match name {
        VirtualName::All => "all".to_owned(),
        VirtualName::Address(_, text) | VirtualName::Name(text) => text.clone(),
        VirtualName::Mark(mark) => format!("fwm {mark}"),
    }
}

fn services<'a>(health: &'a Health, name: &VirtualName) -> Result<Vec<&'a ServiceHealth>, Failure> {
    let addresses = match name {
        VirtualName::Address(_, text) => resolve(text),
        _ => Vec::new(),
    };
    let meant = |service: &&ServiceHealth| match (name, &service.id) {
        (VirtualName::All, _) => true,
        (VirtualName::Name(name), _) => service.name.as_ref() == Some(name),
        (name, id) => has_address(id, name, &addresses),
    };
    let found: Vec<_> = health.services.iter().filter(meant).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let there: Vec<_> = health.services.iter().map(|s| s.id.to_string()).collect();
    Err(Failure::unknown("virtual service", &said(name), &there))
}

/// A server by its address or its name in the file, with a port or without.
fn address_of<'a>(
    servers: &(impl Iterator<Item = &'a ServerHealth> + Clone),
    word: &str,
) -> Option<SocketAddr> {
    let known = |wanted: &SocketAddr| {
        servers
            .clone()
            .any(|server| matches(server.address, *wanted))
    };
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 0)).filter(known);
    }
    if let Ok(address) = word.parse() {
        return Some(address).filter(known);
    }
    let (name, port) = match word.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()?),
        None => (word, 0),
    };
    let named = |server: &&ServerHealth| server.name.as_deref() == Some(name);
    servers
        .clone()
        .find(named)
        .map(|server| SocketAddr::new(server.address.ip(), port))
        .filter(known)
}

fn resolve(text: &str) -> Vec<SocketAddr> {
    use std::net::ToSocketAddrs as _;
    // An unknown name matches no virtual service.
    text.to_socket_addrs()
        .map(Iterator::collect)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn find(service: &str, server: &str) -> Result<Target, String> {
        let Ok(name) = service.parse();
        Target::find(&sample::health(), &name, server)
            .map_err(|failure| failure.message().unwrap_or_default())
    }

    fn web() -> ServiceId {
        sample::health().services[0].id
    }

    fn target(service: Option<ServiceId>, server: &str) -> Target {
        let server = server.parse().expect("an address");
        Target { service, server }
    }

    #[test]
    fn virtual_services_and_servers_have_several_names() {
        let first = "10.0.10.1:80";
        for service in ["192.0.2.80:80", "tcp:192.0.2.80:80", "www"] {
            assert_eq!(
                find(service, first),
                Ok(target(Some(web()), first)),
                "{service}"
            );
        }
        assert_eq!(find("all", first), Ok(target(None, first)));
        assert_eq!(
            find("www", "10.0.10.1"),
            Ok(target(Some(web()), "10.0.10.1:0"))
        );
        assert_eq!(find("www", "rs1"), Ok(target(Some(web()), "10.0.10.1:0")));
        assert_eq!(find("www", "rs1:80"), Ok(target(Some(web()), first)));
        let dns = Some(sample::health().services[1].id);
        assert_eq!(
            find("udp:[2001:db8::53]:53", "[2001:db8::1]:53"),
            Ok(target(dns, "[2001:db8::1]:53"))
        );
        assert_eq!(
            find("udp:[2001:db8::53]:53", "2001:db8::1"),
            Ok(target(dns, "[2001:db8::1]:0"))
        );
    }

    #[test]
    fn unknown_names_are_answered_with_those_that_exist() {
        let error = find("www", "10.0.10.9").expect_err("no such server");
        assert_eq!(
            error,
            "there is no real server 10.0.10.9; there are 10.0.10.1:80, 10.0.10.2:80"
        );
        for service in ["udp:192.0.2.80:80", "fwm:3", "web", "192.0.2.80:81"] {
            let error = find(service, "10.0.10.1").expect_err("no such service");
            assert!(
                error.contains("there are tcp 192.0.2.80:80, udp"),
                "{error}"
            );
        }
    }
}
