//! Validates entries of sync messages.

use std::net::SocketAddr;
use std::sync::Arc;

use lvs_common::abi::{ServiceKey, ticks};
use lvs_common::connection::Protocol;
use lvs_dataplane::director::ENGINE;

use super::wire::{Flags, SyncEntry};
use crate::discard::Discard;
use crate::replica::Replica;
use crate::validate::LONGEST_TIMEOUT;

/// Seconds that IPVS gives a template whose timeout is not sent.
const TEMPLATE_TIMEOUT: u32 = 180;

/// An entry that can be a connection or template of this director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ValidEntry {
    pub(super) replica: Replica,
    /// The Call-ID of a template that is kept by it.
    pub(super) call_id: Option<Arc<[u8]>>,
    pub(super) server: SocketAddr,
    /// The mark by whose service it may be, or 0.
    pub(super) mark: u32,
    /// Its director no longer counts it as active.
    pub(super) inactive: bool,
}

/// Validates what both protocols say, and what this one says beside.
pub(super) fn validate(entry: &SyncEntry) -> Result<ValidEntry, Discard> {
    if entry.flags.method().is_none() || entry.flags.has(Flags::ONE_PACKET) {
        return Err(Discard::Method);
    }
    let template = entry.flags.has(Flags::TEMPLATE);
    let call_id = match &entry.engine {
        None => None,
        Some(engine) if template && engine.name() == ENGINE.as_bytes() => {
            Some(engine.data().into())
        }
        Some(_) => return Err(Discard::Engine),
    };
    let shifted = entry.flags.has(Flags::SEQUENCES) || entry.sequences.is_some();
    if shifted || entry.flags.has(Flags::NO_CLIENT_PORT) {
        return Err(Discard::Sequences);
    }
    let of_mark = template && entry.protocol == ServiceKey::MARK && entry.mark != 0;
    let protocol = Protocol::from_number(entry.protocol);
    if protocol.is_none() && !of_mark {
        return Err(Discard::Protocol);
    }
    if !template && entry.server.port() == 0 {
        return Err(Discard::Address);
    }
    let replica = Replica {
        protocol,
        template,
        client: entry.client,
        virtual_address: entry.virtual_address,
        // No protocol has so many.
        state: u8::try_from(entry.state).unwrap_or(u8::MAX),
        timeout: match entry.timeout {
            0 if template => Some(ticks(TEMPLATE_TIMEOUT)),
            0 => None,
            seconds => Some(ticks(seconds.min(LONGEST_TIMEOUT + 1))),
        },
    };
    replica.validate()?;
    Ok(ValidEntry {
        replica,
        call_id,
        server: entry.server,
        // A packet may carry a mark for other reasons, and so may the template of an address it led to.
        mark: if of_mark || !template { entry.mark } else { 0 },
        inactive: entry.flags.has(Flags::INACTIVE),
    })
}

#[cfg(test)]
mod tests {
    use lvs_common::abi::Method;

    use super::*;
    use crate::ipvs::wire::Engine;
    use crate::ipvs::wire::tests::plain;

    fn connection() -> SyncEntry {
        SyncEntry {
            flags: Flags::of(Method::Nat),
            ..plain()
        }
    }

    fn template() -> SyncEntry {
        SyncEntry {
            flags: Flags::of(Method::Nat).and(Flags::TEMPLATE),
            client: "0.0.0.0:0".parse().unwrap(),
            virtual_address: "192.0.2.10:0".parse().unwrap(),
            server: "10.0.0.3:0".parse().unwrap(),
            ..connection()
        }
    }

    #[test]
    fn connections_and_templates_are_accepted() {
        let valid = validate(&connection()).unwrap();
        let replica = valid.replica;
        assert_eq!((replica.state, replica.timeout), (1, Some(ticks(900))));
        assert!(!replica.template && !valid.inactive);
        let valid = validate(&template()).unwrap();
        assert!(valid.replica.template);
    }

    #[test]
    fn a_template_may_be_kept_by_its_call_id() {
        let engine = |name| Engine::new(name, b"a@example.org");
        let with = |engine| SyncEntry {
            engine,
            ..template()
        };
        let valid = validate(&with(engine(b"sip"))).unwrap();
        assert_eq!(valid.call_id.as_deref(), Some(&b"a@example.org"[..]));
        assert_eq!(validate(&with(None)).unwrap().call_id, None);
        assert_eq!(validate(&with(engine(b"sap"))), Err(Discard::Engine));
    }

    #[test]
    fn a_marked_entry_may_be_of_the_marks_service() {
        let mark = 7;
        let marked =
            |entry| validate(&SyncEntry { mark, ..entry }).map(|it| (it.replica.protocol, it.mark));
        assert_eq!(marked(connection()), Ok((Some(Protocol::Tcp), 7)));
        assert_eq!(marked(template()), Ok((Some(Protocol::Tcp), 0)));
        let of_mark = SyncEntry {
            protocol: 0,
            ..template()
        };
        assert_eq!(marked(of_mark.clone()), Ok((None, 7)));
        assert_eq!(validate(&of_mark), Err(Discard::Protocol));
    }

    #[test]
    fn version_0_carries_no_timeouts() {
        let timeout = 0;
        let connection = SyncEntry {
            timeout,
            ..connection()
        };
        assert_eq!(validate(&connection).unwrap().replica.timeout, None);
        let template = SyncEntry {
            timeout,
            ..template()
        };
        assert_eq!(
            validate(&template).unwrap().replica.timeout,
            Some(ticks(180))
        );
    }

    #[test]
    fn impossible_entries_are_refused_by_reason() {
        type Change = fn(&mut SyncEntry);
        let changes: [(Change, Discard); 19] = [
            (|it| it.flags = Flags(4), Discard::Method),
            (
                |it| it.flags = it.flags.and(Flags::ONE_PACKET),
                Discard::Method,
            ),
            (|it| (it.protocol, it.mark) = (0, 7), Discard::Protocol),
            (|it| it.engine = Engine::new(b"sip", b"id"), Discard::Engine),
            (
                |it| it.flags = it.flags.and(Flags(0x200)),
                Discard::Sequences,
            ),
            (
                |it| it.flags = it.flags.and(Flags::NO_CLIENT_PORT),
                Discard::Sequences,
            ),
            (
                |it| it.sequences = Some(zerocopy::transmute!([0_u8; 24])),
                Discard::Sequences,
            ),
            (|it| it.protocol = 0, Discard::Protocol),
            (|it| it.protocol = 51, Discard::Protocol),
            (|it| it.client.set_ip([0; 4].into()), Discard::Address),
            (
                |it| it.client.set_ip([224, 0, 0, 1].into()),
                Discard::Address,
            ),
            (|it| it.client.set_ip([255; 4].into()), Discard::Address),
            (|it| it.virtual_address.set_port(0), Discard::Address),
            (|it| it.server.set_port(0), Discard::Address),
            (
                |it| it.flags = it.flags.and(Flags::TEMPLATE),
                Discard::Address,
            ),
            (|it| it.state = 11, Discard::State),
            (|it| it.state = 257, Discard::State),
            (|it| it.timeout = LONGEST_TIMEOUT + 1, Discard::Timeout),
            (|it| it.timeout = u32::MAX, Discard::Timeout),
        ];
        for (number, (change, why)) in changes.into_iter().enumerate() {
            let mut it = connection();
            change(&mut it);
            assert_eq!(validate(&it), Err(why), "change {number}");
        }
        let udp = SyncEntry {
            protocol: 17,
            ..connection()
        };
        assert_eq!(validate(&udp), Err(Discard::State), "UDP has one state");
        assert!(
            validate(&SyncEntry {
                protocol: 132,
                state: 13,
                ..connection()
            })
            .is_ok()
        );
        assert_eq!(
            validate(&SyncEntry {
                state: 2,
                ..template()
            }),
            Err(Discard::State)
        );
    }
}
