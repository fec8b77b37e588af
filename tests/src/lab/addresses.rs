//! The addresses of the lab's hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lvs_api::model::{Family, Method};

/// The client's network.
const FRONT: u8 = 1;
/// The real servers' network.
const BACK: u8 = 2;
/// The network of several directors.
const SYNC: u8 = 3;

const fn address(family: Family, segment: u8, host: u8) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(10, segment, 0, host)),
        // Host numbers read the same in both families: decimal digits, as in 10.2.0.11 and fd00:2::11.
        Family::Ipv6 => {
            let digits = (host / 100 * 0x10 + host / 10 % 10) as u16 * 0x10 + (host % 10) as u16;
            IpAddr::V6(Ipv6Addr::new(0xfd00, segment as u16, 0, 0, 0, 0, 0, digits))
        }
    }
}

/// The client.
pub const fn client(family: Family) -> IpAddr {
    address(family, FRONT, 10)
}

/// The director on the client's network.
pub const fn director_front(family: Family) -> IpAddr {
    address(family, FRONT, 1)
}

/// The director on the real servers' network: their gateway for NAT.
pub const fn director_back(family: Family) -> IpAddr {
    address(family, BACK, 1)
}

/// One of several directors, counted from 1, on the client's network.
pub const fn own_front(family: Family, number: u8) -> IpAddr {
    address(family, FRONT, 1 + number)
}

/// One of several directors on the real servers' network.
pub const fn own_back(family: Family, number: u8) -> IpAddr {
    address(family, BACK, 1 + number)
}

/// One of several directors on the network they have for themselves.
pub const fn own_sync(family: Family, number: u8) -> IpAddr {
    address(family, SYNC, number)
}

/// The router on the client's network.
pub const fn router_front(family: Family) -> IpAddr {
    address(family, FRONT, 254)
}

/// The router on the real servers' network: their default gateway.
pub const fn router_back(family: Family) -> IpAddr {
    address(family, BACK, 254)
}

/// A real server, counted from 1.
pub const fn server(family: Family, number: u8) -> IpAddr {
    address(family, BACK, 10 + number)
}

/// The virtual address by which a forwarding method is tried.
pub const fn virtual_address(family: Family, method: Method) -> IpAddr {
    let host = match method {
        Method::Direct => 101,
        Method::Nat => 102,
        Method::Tunnel => 103,
        Method::Local => 104,
    };
    address(family, FRONT, host)
}

/// The methods that forward to other hosts.
pub const METHODS: [Method; 3] = [Method::Direct, Method::Nat, Method::Tunnel];
/// Both families.
pub const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// Bits of the network part, the same for all of the lab's networks of a family.
pub const fn prefix_length(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 24,
        Family::Ipv6 => 64,
    }
}

/// Bits of a whole address.
pub const fn host_length(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 32,
        Family::Ipv6 => 128,
    }
}

/// The real servers' network.
pub fn back_network(family: Family) -> String {
    format!("{}/{}", address(family, BACK, 0), prefix_length(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_numbers_read_the_same_in_both_families() {
        assert_eq!(server(Family::Ipv4, 1).to_string(), "10.2.0.11");
        assert_eq!(server(Family::Ipv6, 1).to_string(), "fd00:2::11");
        assert_eq!(router_front(Family::Ipv6).to_string(), "fd00:1::254");
        assert_eq!(
            virtual_address(Family::Ipv6, Method::Nat).to_string(),
            "fd00:1::102"
        );
    }
}
