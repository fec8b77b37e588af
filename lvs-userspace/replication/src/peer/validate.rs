//! Validates entries of a peer.

use std::net::SocketAddr;

use lvs_common::abi::ServiceKey;
use lvs_common::connection::{Key, Kind, Ports, Protocol};
use lvs_common::family::Family;
use lvs_common::ftp::is_data;
use lvs_dataplane::address::narrow;

use super::record::EntryRecord;
use crate::discard::Discard;
use crate::replica::Replica;

/// Validates what both protocols say, and that the entry is of its virtual service. Returns its key.
pub(super) fn validate<F: Family>(
    record: &EntryRecord<F::Address>,
    service: &ServiceKey,
) -> Result<Key<F>, Discard> {
    let template = match record.kind {
        kind if kind == Kind::Request as u8 => false,
        kind if kind == Kind::Template as u8 => true,
        _ => return Err(Discard::Protocol),
    };
    let (source, destination) = (record.source_port, record.destination_port);
    let address = |address| narrow(&F::widen(address), F::NUMBER);
    let replica = Replica {
        protocol: Protocol::from_number(record.protocol),
        template,
        client: SocketAddr::new(address(record.source), source.get()),
        virtual_address: SocketAddr::new(address(record.destination), destination.get()),
        state: record.state,
        timeout: Some(record.timeout.get()),
    };
    replica.validate()?;
    if !template && source.get() == 0 {
        return Err(Discard::Address);
    }
    if record.translated_port.get() != 0 {
        let seen = narrow(&F::widen(record.translated_source), F::NUMBER);
        if template || seen.is_unspecified() || seen.is_multicast() {
            return Err(Discard::Address);
        }
    }
    if !is_of::<F>(record, service, template) {
        return Err(Discard::NoService);
    }
    Ok(Key {
        source: record.source,
        destination: record.destination,
        ports: Ports {
            source,
            destination,
        },
        protocol: record.protocol,
        kind: record.kind,
    })
}

/// True if packets with this key find the service. Which ones have a mark is decided by rules that both
/// directors have.
fn is_of<F: Family>(
    record: &EntryRecord<F::Address>,
    service: &ServiceKey,
    template: bool,
) -> bool {
    let port = service.port.get();
    let key = record.protocol == service.protocol
        && F::widen(record.destination) == service.address
        && (port == record.destination_port.get()
            || (!template && (port == 0 || is_data(service, record.destination_port))));
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

    fn connection() -> EntryRecord<[u8; 4]> {
        EntryRecord {
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
            translated_port: 0.into(),
            translated_source: [0; 4],
            several_packets: 1,
        }
    }

    fn template() -> EntryRecord<[u8; 4]> {
        EntryRecord {
            source: [0; 4],
            source_port: 0.into(),
            kind: Kind::Template as u8,
            ..connection()
        }
    }

    fn refused(record: EntryRecord<[u8; 4]>, service: &ServiceKey) -> Option<Discard> {
        validate::<V4>(&record, service).err()
    }

    #[test]
    fn entries_of_their_service_keep_their_key() {
        let key = validate::<V4>(&connection(), &service()).unwrap();
        assert_eq!(key.source, [198, 51, 100, 7]);
        assert_eq!(refused(template(), &service()), None);
        let every_port = ServiceKey {
            port: 0.into(),
            ..service()
        };
        assert_eq!(refused(connection(), &every_port), None);
        let mark = ServiceKey {
            address: V4::widen([0, 0, 0, 7]),
            port: 0.into(),
            protocol: ServiceKey::MARK,
            family: 4,
        };
        assert_eq!(refused(connection(), &mark), None);
        let of_mark = EntryRecord {
            destination: [0, 0, 0, 7],
            destination_port: 0.into(),
            protocol: ServiceKey::MARK,
            ..template()
        };
        assert_eq!(refused(of_mark, &mark), None);
        assert_eq!(refused(template(), &mark), Some(Discard::NoService));
    }

    #[test]
    fn impossible_entries_are_refused_by_reason() {
        type Change = fn(&mut EntryRecord<[u8; 4]>);
        let changes: [(Change, Discard); 14] = [
            (|it| it.translated_port = 1024.into(), Discard::Address),
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
            assert_eq!(refused(it, &service()), Some(why), "change {number}");
        }
        let v6 = ServiceKey {
            family: 6,
            ..service()
        };
        assert_eq!(refused(connection(), &v6), Some(Discard::NoService));
    }
}
