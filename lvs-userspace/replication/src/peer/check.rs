//! Validates entries of a peer.

use std::net::SocketAddr;

use lvs_common::abi::ServiceKey;
use lvs_common::connection::{Key, Kind, Ports, Protocol};
use lvs_common::family::Family;

use super::item::Told;
use crate::sync::{Discard, Replica};
use lvs_dataplane::address::narrow;

/// Validates what both protocols say, and that the entry is of its virtual service. Returns its key.
pub(super) fn check<F: Family>(
    told: &Told<F::Address>,
    service: &ServiceKey,
) -> Result<Key<F>, Discard> {
    let template = match told.kind {
        kind if kind == Kind::Request as u8 => false,
        kind if kind == Kind::Template as u8 => true,
        _ => return Err(Discard::Protocol),
    };
    let (source, destination) = (told.source_port, told.destination_port);
    let address = |address| narrow(&F::widen(address), F::NUMBER);
    let replica = Replica {
        protocol: Protocol::from_number(told.protocol),
        template,
        client: SocketAddr::new(address(told.source), source.get()),
        virtual_address: SocketAddr::new(address(told.destination), destination.get()),
        state: told.state,
        timeout: Some(told.timeout.get()),
    };
    replica.validate()?;
    if !template && source.get() == 0 {
        return Err(Discard::Address);
    }
    if !is_of::<F>(told, service, template) {
        return Err(Discard::NoService);
    }
    Ok(Key {
        source: told.source,
        destination: told.destination,
        ports: Ports {
            source,
            destination,
        },
        protocol: told.protocol,
        kind: told.kind,
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

#[cfg(test)]
mod tests {
    use lvs_common::abi::ticks;
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
        let key = check::<V4>(&connection(), &service()).unwrap();
        assert_eq!(key.source, [198, 51, 100, 7]);
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
