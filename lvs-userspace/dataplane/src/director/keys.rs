//! Services and forwarding methods in the form the maps hold them.

use std::net::{Ipv4Addr, SocketAddr};

use lvs_api::model::{Family, Method, ServiceId};
use lvs_common::abi::{self, ServiceKey};
use lvs_common::connection::Protocol;

use crate::address::{family, narrow, widen};

/// 4 or 6.
pub(super) const fn number(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 6,
    }
}

/// Family of the packets that find a key.
pub(super) const fn family_of(key: &ServiceKey) -> Family {
    if key.family == 4 {
        Family::Ipv4
    } else {
        Family::Ipv6
    }
}

/// The key of a service: what packets find it by, if it is not a mark's.
pub(super) fn key(id: &ServiceId) -> ServiceKey {
    match id {
        ServiceId::Address { protocol, address } => ServiceKey {
            address: widen(address.ip()),
            port: address.port().into(),
            protocol: Protocol::from(*protocol).number(),
            family: family(&address.ip()),
        },
        ServiceId::Mark { mark, family } => ServiceKey {
            address: widen(Ipv4Addr::from_bits(*mark).into()),
            port: 0.into(),
            protocol: ServiceKey::MARK,
            family: number(*family),
        },
    }
}

/// The service of a key; `None` if no daemon writes such a key.
pub(crate) fn service(key: &ServiceKey) -> Option<ServiceId> {
    if !matches!(key.family, 4 | 6) {
        return None;
    }
    if key.protocol == ServiceKey::MARK {
        let [a, b, c, d, ..] = key.address;
        let mark = u32::from_be_bytes([a, b, c, d]);
        let family = family_of(key);
        return (mark != 0).then_some(ServiceId::Mark { mark, family });
    }
    let protocol = Protocol::from_number(key.protocol)?.into();
    let address = SocketAddr::new(narrow(&key.address, key.family), key.port.get());
    Some(ServiceId::Address { protocol, address })
}

/// A forwarding method as the maps hold it.
pub(super) const fn raw_method(method: Method) -> u8 {
    let method = match method {
        Method::Direct => abi::Method::Direct,
        Method::Tunnel => abi::Method::Tunnel,
        Method::Nat => abi::Method::Nat,
        Method::Local => abi::Method::Local,
    };
    method as u8
}

/// A forwarding method from the maps.
pub(crate) const fn method(raw: u8) -> Method {
    match abi::Method::from_raw(raw) {
        abi::Method::Direct => Method::Direct,
        abi::Method::Tunnel => Method::Tunnel,
        abi::Method::Nat => Method::Nat,
        abi::Method::Local => Method::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lvs_api::model::Protocol;

    #[test]
    fn a_service_is_read_back_from_its_key() {
        for address in ["192.0.2.10:80", "[2001:db8::80]:0"] {
            let address = address.parse().unwrap();
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                let id = ServiceId::Address { protocol, address };
                assert_eq!(service(&key(&id)), Some(id));
            }
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            let id = ServiceId::Mark {
                mark: 0x0102_0304,
                family,
            };
            assert_eq!(service(&key(&id)), Some(id));
        }
    }

    #[test]
    fn methods_are_read_back() {
        for wanted in [Method::Direct, Method::Tunnel, Method::Nat, Method::Local] {
            assert_eq!(method(raw_method(wanted)), wanted);
        }
    }
}
