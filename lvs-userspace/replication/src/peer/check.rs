//! What a connection that a peer tells has to be like before it goes into the table.

use std::net::{Ipv4Addr, Ipv6Addr};

use lvs_common::abi::{ServiceKey, ticks};
use lvs_common::connection::{Key, Kind, Ports, Protocol, sctp, tcp};
use lvs_common::family::Family;
use lvs_common::persistence::ASSURED;

use super::item::Told;
use crate::sync::{Content, Discard};

/// The longest time IPVS allows: 31 days.
const LONGEST: u32 = ticks(31 * 24 * 60 * 60);

/// What goes into the table, or why it can be none of this director's.
pub(super) fn check<F: Family>(
    told: &Told<F::Address>,
    service: &ServiceKey,
) -> Result<Content<F>, Discard> {
    let template = match told.kind {
        kind if kind == Kind::Request as u8 => false,
        kind if kind == Kind::Template as u8 => true,
        _ => return Err(Discard::Protocol),
    };
    let states = match Protocol::from_number(told.protocol) {
        _ if template => usize::from(ASSURED) + 1,
        Some(Protocol::Tcp) => tcp::State::ALL.len(),
        Some(Protocol::Udp) => 1,
        Some(Protocol::Sctp) => sctp::State::ALL.len(),
        None => return Err(Discard::Protocol),
    };
    if usize::from(told.state) >= states {
        return Err(Discard::State);
    }
    if told.timeout.get() == 0 || told.timeout.get() > LONGEST {
        return Err(Discard::Timeout);
    }
    if !is_of::<F>(told, service, template) {
        return Err(Discard::NoService);
    }
    let ports = if template {
        told.source_port.get() == 0
    } else {
        told.source_port.get() != 0 && told.destination_port.get() != 0
    };
    // A template is of a network, which may be that of all clients.
    let client = template || is_host(&F::widen(told.source), F::NUMBER);
    if !(ports && client) {
        return Err(Discard::Address);
    }
    Ok(Content {
        key: Key {
            source: told.source,
            destination: told.destination,
            ports: Ports {
                source: told.source_port,
                destination: told.destination_port,
            },
            protocol: told.protocol,
            kind: told.kind,
        },
        state: told.state,
        timeout: told.timeout.get(),
    })
}

/// Whether packets with this key find the service. Which ones have a mark is decided by rules that both
/// directors have.
fn is_of<F: Family>(told: &Told<F::Address>, service: &ServiceKey, template: bool) -> bool {
    let port = service.port.get();
    let key = told.protocol == service.protocol
        && F::widen(told.destination) == service.address
        && (port == told.destination_port.get() || (port == 0 && !template));
    let marked = service.protocol == ServiceKey::MARK && !template;
    service.family == F::NUMBER && (key || marked)
}

/// Whether an address can be a client's.
fn is_host(address: &[u8; 16], family: u8) -> bool {
    if family == 4 {
        let [a, b, c, d, ..] = *address;
        let v4 = Ipv4Addr::new(a, b, c, d);
        !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast()
    } else {
        let v6 = Ipv6Addr::from(*address);
        !v6.is_unspecified() && !v6.is_multicast()
    }
}

#[cfg(test)]
mod tests {
    use lvs_common::family::V4;

    use super::*;

    const VIRTUAL: [u8; 4] = [192, 0, 2, 10];

    fn service() -> ServiceKey {
        ServiceKey {
            address: V4::widen(VIRTUAL),
            port: 80.into(),
            protocol: 6,
            family: 4,
        }
    }

    fn connection() -> Told<[u8; 4]> {
        Told {
            id: 1.into(),
            idle: 0.into(),
            timeout: ticks(900).into(),
            source: [198, 51, 100, 7],
            destination: VIRTUAL,
            source_port: 40_000.into(),
            destination_port: 80.into(),
            protocol: 6,
            kind: Kind::Request as u8,
            server: 1.into(),
            state: 1,
            heard: 1,
        }
    }

    fn template() -> Told<[u8; 4]> {
        Told {
            source: [0; 4],
            source_port: 0.into(),
            kind: Kind::Template as u8,
            ..connection()
        }
    }

    fn checked(told: Told<[u8; 4]>, service: &ServiceKey) -> Option<Discard> {
        check::<V4>(&told, service).err()
    }

    #[test]
    fn what_makes_sense_is_taken_as_it_is() {
        let content = check::<V4>(&connection(), &service()).unwrap();
        assert_eq!((content.state, content.timeout), (1, ticks(900)));
        assert_eq!(content.key.source, [198, 51, 100, 7]);
        assert_eq!(checked(template(), &service()), None);
        let every_port = ServiceKey {
            port: 0.into(),
            ..service()
        };
        assert_eq!(checked(connection(), &every_port), None);
        let mark = ServiceKey {
            address: V4::widen([0, 0, 0, 7]),
            port: 0.into(),
            protocol: ServiceKey::MARK,
            family: 4,
        };
        assert_eq!(checked(connection(), &mark), None);
        let of_mark = Told {
            destination: [0, 0, 0, 7],
            destination_port: 0.into(),
            protocol: ServiceKey::MARK,
            ..template()
        };
        assert_eq!(checked(of_mark, &mark), None);
        assert_eq!(checked(template(), &mark), Some(Discard::NoService));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_reason() {
        type Change = fn(&mut Told<[u8; 4]>);
        let changes: [(Change, Discard); 13] = [
            (|it| it.kind = Kind::Reply as u8, Discard::Protocol),
            (|it| it.kind = 3, Discard::Protocol),
            (|it| it.protocol = 51, Discard::Protocol),
            (|it| it.protocol = 17, Discard::State),
            (|it| it.state = 11, Discard::State),
            (|it| it.timeout = 0.into(), Discard::Timeout),
            (|it| it.timeout = u32::MAX.into(), Discard::Timeout),
            (|it| it.destination = [192, 0, 2, 11], Discard::NoService),
            (|it| it.destination_port = 81.into(), Discard::NoService),
            (|it| it.source = [0; 4], Discard::Address),
            (|it| it.source = [255; 4], Discard::Address),
            (|it| it.source = [224, 0, 0, 1], Discard::Address),
            (|it| it.source_port = 0.into(), Discard::Address),
        ];
        for (number, (change, why)) in changes.into_iter().enumerate() {
            let mut it = connection();
            change(&mut it);
            assert_eq!(checked(it, &service()), Some(why), "change {number}");
        }
        let v6 = ServiceKey {
            family: 6,
            ..service()
        };
        assert_eq!(checked(connection(), &v6), Some(Discard::NoService));
    }
}
