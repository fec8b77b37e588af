//! The networks that this machine is in, by the addresses of its interfaces.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// Bits of the network part of an address whose network is unknown, as it usually is.
const USUAL_IPV4: u32 = 24;
/// See [`USUAL_IPV4`].
const USUAL_IPV6: u32 = 64;

/// Networks that a machine is in.
#[derive(Clone, Debug, Default)]
pub struct OwnNetworks(Vec<Network>);

/// An address of a machine with its network.
#[derive(Clone, Debug)]
struct Network {
    address: u128,
    mask: u128,
    ipv4: bool,
}

impl OwnNetworks {
    /// Those of this machine, now.
    pub fn of_this_machine() -> Self {
        let Ok(interfaces) = getifaddrs() else {
            return Self::default();
        };
        let networks = interfaces.filter_map(|interface| {
            let (address, mask) = (ip(&interface.address?)?, ip(&interface.netmask?)?);
            Some(Network::new(address, bits(mask)))
        });
        // Behind 0.0.0.0/0 are all.
        Self(networks.filter(|network| network.mask != 0).collect())
    }

    /// Returns whether two addresses, of which the other one is not this machine's own, are in one of the networks.
    pub fn hold_both(&self, address: IpAddr, other: IpAddr) -> bool {
        let both = |network: &Network| network.has(address) && network.has(other);
        self.0.iter().any(both) && !self.is_own(other)
    }

    /// The same, also on a machine that is in the network of neither: there it goes by the usual size of a network.
    pub fn likely_hold_both(&self, address: IpAddr, other: IpAddr) -> bool {
        let either = |network: &Network| network.has(address) || network.has(other);
        if self.0.iter().any(either) {
            return self.hold_both(address, other);
        }
        let usual = match address {
            IpAddr::V4(_) => (u128::from(u32::MAX) << (32 - USUAL_IPV4)) & u128::from(u32::MAX),
            IpAddr::V6(_) => u128::MAX << (128 - USUAL_IPV6),
        };
        Network::new(address, usual).has(other)
    }

    fn is_own(&self, address: IpAddr) -> bool {
        let mut own = self.0.iter();
        own.any(|own| own.ipv4 == address.is_ipv4() && own.address == bits(address))
    }
}

impl Network {
    fn new(address: IpAddr, mask: u128) -> Self {
        Self {
            address: bits(address),
            mask,
            ipv4: address.is_ipv4(),
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.ipv4 && (bits(address) ^ self.address) & self.mask == 0
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The IP address in a socket address.
pub(super) fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_the_addresses_under_its_mask() {
        let own = OwnNetworks(vec![Network::new(
            ip("10.91.1.1"),
            bits(ip("255.255.255.128")),
        )]);
        assert!(own.hold_both(ip("10.91.1.10"), ip("10.91.1.20")));
        assert!(!own.hold_both(ip("10.91.1.10"), ip("10.91.1.200")));
        assert!(!own.hold_both(ip("10.91.1.10"), ip("fd00::1")));
        assert!(!own.hold_both(ip("10.91.1.10"), ip("10.91.1.1")));
        let here = OwnNetworks::of_this_machine();
        assert!(here.hold_both(ip("127.0.0.1"), ip("127.0.0.9")));
        assert!(!here.hold_both(ip("127.0.0.9"), ip("127.0.0.1")));
    }

    #[test]
    fn a_network_that_is_not_this_machines_has_the_usual_size() {
        let own = OwnNetworks(vec![Network::new(
            ip("10.91.1.1"),
            bits(ip("255.255.255.128")),
        )]);
        assert!(own.likely_hold_both(ip("10.91.1.10"), ip("10.91.1.20")));
        // The machine knows better.
        assert!(!own.likely_hold_both(ip("10.91.1.10"), ip("10.91.1.200")));
        assert!(own.likely_hold_both(ip("10.91.2.10"), ip("10.91.2.200")));
        assert!(!own.likely_hold_both(ip("10.91.2.10"), ip("10.91.3.10")));
        assert!(own.likely_hold_both(ip("fd00:1::10"), ip("fd00:1::ffff:1")));
        assert!(!own.likely_hold_both(ip("fd00:1::10"), ip("fd00:1:0:1::10")));
        assert!(!own.likely_hold_both(ip("10.91.2.10"), ip("fd00:1::10")));
    }
}
