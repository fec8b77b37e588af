//! Addresses in the form the maps hold them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lvs_common::abi::{Address, Mac};

/// An address as the maps hold it.
pub fn widen(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// An address from the maps.
pub fn narrow(address: &Address, family: u8) -> IpAddr {
    let [a, b, c, d, ..] = *address;
    if family == 4 {
        Ipv4Addr::new(a, b, c, d).into()
    } else {
        Ipv6Addr::from(*address).into()
    }
}

/// An Ethernet address as people write it; `None`: it is zero, as where frames have no header.
pub(crate) fn mac_text(mac: Mac) -> Option<String> {
    let bytes: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    (mac != Mac::default()).then(|| bytes.join(":"))
}

/// 4 or 6.
pub(crate) const fn family(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}
