//! What a connection of another director has to be like before anything is looked up for it.

use std::net::IpAddr;

use lvs_common::abi::{ServiceKey, ticks};
use lvs_common::connection::{Protocol, sctp, tcp};

use super::Discard;
use super::wire::{Flags, Synced};

/// The longest time IPVS allows: 31 days.
const LONGEST_SECONDS: u32 = 31 * 24 * 60 * 60;
/// What IPVS gives a template of which it is not told how long it lasts.
const TEMPLATE_SECONDS: u32 = 180;

/// A connection or template that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// `None`: a template of a firewall mark's service, which is of no protocol.
    pub(super) protocol: Option<Protocol>,
    /// The mark by whose service it may be, or 0.
    pub(super) mark: u32,
    pub(super) state: u8,
    pub(super) template: bool,
    /// Of a connection that its director no longer counts as active.
    pub(super) inactive: bool,
    /// Ticks without a packet after which it is expired; `None`: those of its state.
    pub(super) timeout: Option<u32>,
}

/// Tells what a connection is, or why it can be none of this director's.
pub(super) fn check(synced: &Synced) -> Result<Checked, Discard> {
    if synced.flags.method().is_none() || synced.flags.has(Flags::ONE_PACKET) {
        return Err(Discard::Method);
    }
    if synced.engine.is_some() {
        return Err(Discard::Engine);
    }
    let shifted = synced.flags.has(Flags::SEQUENCES) || synced.sequences.is_some();
    if shifted || synced.flags.has(Flags::NO_CLIENT_PORT) {
        return Err(Discard::Sequences);
    }
    let template = synced.flags.has(Flags::TEMPLATE);
    let of_mark = template && synced.protocol == ServiceKey::MARK && synced.mark != 0;
    let protocol = Protocol::from_number(synced.protocol);
    if protocol.is_none() && !of_mark {
        return Err(Discard::Protocol);
    }
    check_addresses(synced, template)?;
    let states = match protocol {
        Some(Protocol::Tcp) if !template => tcp::State::ALL.len(),
        Some(Protocol::Udp) if !template => 1,
        Some(Protocol::Sctp) if !template => sctp::State::ALL.len(),
        _ => 2,
    };
    let state = u8::try_from(synced.state).map_err(|_| Discard::State)?;
    if usize::from(state) >= states {
        return Err(Discard::State);
    }
    let timeout = match synced.timeout {
        0 if template => Some(ticks(TEMPLATE_SECONDS)),
        0 => None,
        seconds if seconds <= LONGEST_SECONDS => Some(ticks(seconds)),
        _ => return Err(Discard::Timeout),
    };
    Ok(Checked {
        protocol,
        // A packet may carry a mark for other reasons, and so may the template of an address it led to.
        mark: if of_mark || !template { synced.mark } else { 0 },
        state,
        template,
        inactive: synced.flags.has(Flags::INACTIVE),
        timeout,
    })
}

/// Virtual address and server are looked up, and there are none but sensible ones to be found; the
/// client's address goes into the table as it is.
fn check_addresses(synced: &Synced, template: bool) -> Result<(), Discard> {
    let client = synced.client.ip();
    let host = match client {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_multicast(),
    };
    // A template is of a network, which may be that of all clients.
    let known = template || !client.is_unspecified();
    let ports = if template {
        synced.client.port() == 0
    } else {
        synced.virtual_address.port() != 0 && synced.server.port() != 0
    };
    if host && known && ports {
        Ok(())
    } else {
        Err(Discard::Address)
    }
}

#[cfg(test)]
mod tests {
    use lvs_common::abi::Method;

    use super::*;
    use crate::sync::wire::Engine;
    use crate::sync::wire::tests::plain;

    fn connection() -> Synced {
        Synced {
            flags: Flags::of(Method::Nat),
            ..plain()
        }
    }

    fn template() -> Synced {
        Synced {
            flags: Flags::of(Method::Nat).and(Flags::TEMPLATE),
            client: "0.0.0.0:0".parse().unwrap(),
            virtual_address: "192.0.2.10:0".parse().unwrap(),
            server: "10.0.0.3:0".parse().unwrap(),
            ..connection()
        }
    }

    #[test]
    fn what_makes_sense_is_understood() {
        let checked = check(&connection()).unwrap();
        assert_eq!((checked.state, checked.timeout), (1, Some(ticks(900))));
        assert!(!checked.template && !checked.inactive);
        let checked = check(&template()).unwrap();
        assert!(checked.template);
    }

    #[test]
    fn what_carries_a_mark_may_be_of_its_service() {
        let mark = 7;
        let marked = |synced| check(&Synced { mark, ..synced }).map(|it| (it.protocol, it.mark));
        assert_eq!(marked(connection()), Ok((Some(Protocol::Tcp), 7)));
        assert_eq!(marked(template()), Ok((Some(Protocol::Tcp), 0)));
        let of_mark = Synced {
            protocol: 0,
            ..template()
        };
        assert_eq!(marked(of_mark.clone()), Ok((None, 7)));
        assert_eq!(check(&of_mark), Err(Discard::Protocol));
    }

    #[test]
    fn version_0_tells_no_timeouts() {
        let timeout = 0;
        let connection = Synced {
            timeout,
            ..connection()
        };
        assert_eq!(check(&connection).unwrap().timeout, None);
        let template = Synced {
            timeout,
            ..template()
        };
        assert_eq!(check(&template).unwrap().timeout, Some(ticks(180)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_reason() {
        type Change = fn(&mut Synced);
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
            (|it| it.timeout = LONGEST_SECONDS + 1, Discard::Timeout),
            (|it| it.timeout = u32::MAX, Discard::Timeout),
        ];
        for (number, (change, why)) in changes.into_iter().enumerate() {
            let mut it = connection();
            change(&mut it);
            assert_eq!(check(&it), Err(why), "change {number}");
        }
        let udp = Synced {
            protocol: 17,
            ..connection()
        };
        assert_eq!(check(&udp), Err(Discard::State), "UDP has one state");
        assert!(
            check(&Synced {
                protocol: 132,
                state: 13,
                ..connection()
            })
            .is_ok()
        );
        assert_eq!(
            check(&Synced {
                state: 2,
                ..template()
            }),
            Err(Discard::State)
        );
    }
}
