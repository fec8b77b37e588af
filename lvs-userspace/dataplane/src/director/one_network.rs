//! Real servers behind NAT in the network of their virtual address.
//!
//! A client of that network is answered by such a server past the director, from an address that it never asked: it
//! drops what it gets. Full NAT brings the replies back.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lvs_api::model::{Method, ServerId, ServerSettings, ServiceId};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use tracing::warn;

use super::wanted::Wanted;

/// Time after which this machine's networks are asked for again: many services come in one request.
const CURRENT: Duration = Duration::from_secs(1);

/// Warns of servers that a service gets now, compared with what it had before.
pub(super) fn warn_of_new(
    id: &ServiceId,
    before: Option<&Wanted>,
    wanted: &Wanted,
    own: &mut OwnNetworks,
) {
    let ServiceId::Address { address, .. } = id else {
        return;
    };
    let translated =
        |settings: &ServerSettings| settings.method != Method::Nat || settings.snat.is_some();
    let known = |server: &ServerId| {
        let mut before = before.into_iter().flat_map(|before| &before.servers);
        before.any(|(other, settings)| other == server && !translated(settings))
    };
    let mut new = wanted
        .servers
        .iter()
        .filter(|(server, settings)| !translated(settings) && !known(server))
        .peekable();
    if new.peek().is_none() {
        return;
    }
    let networks = own.current(Instant::now());
    for (server, _) in new {
        let together = |network: &Network| {
            network.has(address.ip())
                && network.has(server.address())
                && !is_own(networks, server.address())
        };
        if networks.iter().any(together) {
            warn!(
                "real server {} is in the same network as its virtual address {address}: it answers clients of \
                 this network directly, and they are not served; with full NAT (snat = auto, --snat auto) they are",
                server.0
            );
        }
    }
}

/// The networks that this machine is in.
#[derive(Default)]
pub(super) struct OwnNetworks(Option<(Instant, Vec<Network>)>);

impl OwnNetworks {
    fn current(&mut self, now: Instant) -> &[Network] {
        let current = |asked: Instant| now.saturating_duration_since(asked) < CURRENT;
        if !self.0.as_ref().is_some_and(|(asked, _)| current(*asked)) {
            self.0 = None;
        }
        let (_, networks) = self.0.get_or_insert_with(|| (now, own_networks()));
        networks
    }
}

/// An address of this machine with its network.
struct Network {
    address: u128,
    mask: u128,
    ipv4: bool,
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.ipv4 && (bits(address) ^ self.address) & self.mask == 0
    }
}

fn is_own(networks: &[Network], address: IpAddr) -> bool {
    let mut own = networks.iter().filter(|own| own.ipv4 == address.is_ipv4());
    own.any(|own| own.address == bits(address))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn own_networks() -> Vec<Network> {
    let Ok(interfaces) = getifaddrs() else {
        return Vec::new();
    };
    let networks = interfaces.filter_map(|interface| {
        let (address, mask) = (ip(&interface.address?)?, ip(&interface.netmask?)?);
        Some(Network {
            address: bits(address),
            mask: bits(mask),
            ipv4: address.is_ipv4(),
        })
    });
    // Behind 0.0.0.0/0 are all.
    networks.filter(|network| network.mask != 0).collect()
}

/// The IP address in a socket address.
pub(super) fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_under_its_mask() {
        let network = Network {
            address: bits("10.91.1.1".parse().unwrap()),
            mask: bits("255.255.255.0".parse().unwrap()),
            ipv4: true,
        };
        assert!(network.has("10.91.1.10".parse().unwrap()));
        assert!(!network.has("10.91.2.10".parse().unwrap()));
        assert!(!network.has("fd00::1".parse().unwrap()));
        assert!(
            own_networks()
                .iter()
                .any(|network| network.has("127.0.0.1".parse().unwrap()))
        );
    }
}
