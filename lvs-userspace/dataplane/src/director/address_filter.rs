//! The filter of addresses that the program asks first: packets from and to others are not the director's.

use std::net::IpAddr;
use std::sync::Arc;

use lvs_api::mark::Network;
use lvs_api::model::Method;
use lvs_common::abi::Address;

use crate::address::widen;
use crate::kernel::Maps;

/// Bits of a network's addresses beyond its prefix at most: with more, the filter holds every address. It has
/// 131,072 bits.
const MAX_HOST_BITS: u8 = 12;

/// The addresses of a network; `None`: there are too many.
fn addresses(network: Network) -> Option<impl Iterator<Item = Address>> {
    let Network { address, prefix } = network;
    let (first, bits) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let host = bits - prefix.min(bits);
    let one = move |number: u128| match address {
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(number).unwrap_or(u32::MAX).into()),
        IpAddr::V6(_) => IpAddr::V6(number.into()),
    };
    let numbers = (0..1_u128 << host.min(MAX_HOST_BITS)).map(move |offset| first | offset);
    (host <= MAX_HOST_BITS).then(|| numbers.map(move |number| widen(one(number))))
}

/// True if the filter holds the real servers of a forwarding method: their replies by NAT pass the director, and ICMP
/// errors about packets in tunnels name them.
pub(super) const fn holds_servers(method: Method) -> bool {
    !matches!(method, Method::Direct)
}

/// Bits of the addresses that the program looks at.
pub(super) struct AddressFilter {
    maps: Arc<Maps>,
    /// True if it may hold addresses that are no longer needed.
    stale: bool,
}

impl AddressFilter {
    pub(super) const fn new(maps: Arc<Maps>) -> Self {
        Self { maps, stale: true }
    }

    /// From now on the program looks at packets from and to this address.
    pub(super) fn add(&self, address: &Address) {
        self.maps.addr_filter.add(address);
    }

    /// From now on the program looks at packets to every address of a network.
    pub(super) fn add_network(&self, network: Network) {
        match addresses(network) {
            Some(addresses) => addresses.for_each(|address| self.add(&address)),
            None => self.maps.addr_filter.fill(),
        }
    }

    /// Notes that an address may be needed no longer.
    pub(super) const fn mark_stale(&mut self) {
        self.stale = true;
    }

    pub(super) const fn is_stale(&self) -> bool {
        self.stale
    }

    /// Writes the filter anew, of exactly these addresses and networks.
    pub(super) fn rebuild(&mut self, single: &[Address], networks: impl Iterator<Item = Network>) {
        let mut wanted = single.to_vec();
        let mut all = false;
        for network in networks {
            match addresses(network) {
                Some(addresses) => wanted.extend(addresses),
                None => all = true,
            }
        }
        if all {
            self.maps.addr_filter.fill();
        } else {
            self.maps.addr_filter.replace(&wanted);
        }
        self.stale = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_network_is_its_addresses() {
        let all = |text: &str| addresses(text.parse().unwrap()).map(Iterator::count);
        assert_eq!(all("192.0.2.1/32"), Some(1));
        assert_eq!(all("192.0.2.0/24"), Some(256));
        assert_eq!(all("10.0.0.0/19"), None);
        assert_eq!(all("0.0.0.0/0"), None);
        assert_eq!(all("2001:db8::/116"), Some(4096));
        let last = addresses("192.0.2.128/25".parse().unwrap()).unwrap().last();
        assert_eq!(last, Some(widen(IpAddr::from([192, 0, 2, 255]))));
    }
}
