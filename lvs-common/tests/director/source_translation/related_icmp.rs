//! ICMP errors about connections whose source is translated.

use lvs_common::connection::Protocol;
use lvs_common::verdict::Reason;

use super::super::frames::{Draft, at};
use super::{CLIENT, FIRST, OWN, PROTOCOLS, REAL, SECOND, ask, draft, full, pool, shared};

const ROUTER: [&str; 2] = ["203.0.113.254:0", "[2001:db8:f::fe]:0"];

/// A packet as an error quotes it, without the transport checksum (see `related_icmp.rs`).
fn quoted(protocol: Protocol, from: &str, to: &str) -> Vec<u8> {
    let draft = draft(protocol, from, to);
    let mut packet = draft.packet();
    let header = if draft.from.is_ipv4() { 20 } else { 40 };
    packet.truncate(header + 8);
    if protocol == Protocol::Udp {
        packet[header + 6..].fill(0);
    }
    packet
}

#[test]
fn icmp_errors_follow_a_translated_connection_in_both_directions() {
    const TOO_BIG: [(u8, u8, u32); 2] = [(3, 4, 1400), (2, 0, 1400)];
    for protocol in PROTOCOLS {
        for family in 0..2 {
            let (client, real, router) = (CLIENT[family], REAL[family], ROUTER[family]);
            let collided = shared(protocol, family);
            ask(&collided, &draft(protocol, client, FIRST[family]), real);
            let full = full(protocol, family, pool(OWN[family], 1, (2000, 2999)));
            for (director, to) in [(collided, SECOND[family]), (full, FIRST[family])] {
                let seen = ask(&director, &draft(protocol, client, to), real);
                let seen_text = seen.to_string();
                assert_ne!(seen, at(client));
                // A router on the way to the client cannot forward what the server sent.
                let error = Draft::icmp(router, to, TOO_BIG[family], quoted(protocol, to, client));
                let (verdict, after) = director.handle(&error.frame());
                assert_eq!(verdict.reason(), Some(Reason::IcmpToServer));
                let about = quoted(protocol, real, &seen_text);
                let expected = Draft::icmp(router, real, TOO_BIG[family], about).with(|error| {
                    if seen.ip() != at(client).ip() {
                        error.from = seen;
                    }
                });
                assert_eq!(after, expected.forwarded().frame(), "{protocol:?} {to}");
                // The server, or a router before it, cannot use what the client sent.
                for sender in [real, router] {
                    let about = quoted(protocol, &seen_text, real);
                    let error = Draft::icmp(sender, &seen_text, TOO_BIG[family], about);
                    let (verdict, after) = director.handle(&error.frame());
                    assert_eq!(verdict.reason(), Some(Reason::IcmpToClient));
                    let about = quoted(protocol, client, to);
                    let expected = Draft::icmp(to, client, TOO_BIG[family], about);
                    assert_eq!(after, expected.returned().frame(), "{protocol:?} {to}");
                }
            }
        }
    }
}

#[test]
fn fragments_of_icmp_errors_follow_a_translated_connection() {
    const TOO_BIG: [(u8, u8, u32); 2] = [(3, 4, 1400), (2, 0, 1400)];
    let long = |from: &str, to: &str, family: usize, mut about: Vec<u8>| {
        about.resize(160, 0x77);
        Draft::icmp(from, to, TOO_BIG[family], about)
    };
    let pieces = |error: Draft| {
        [(0, 96), (96, 72)]
            .map(|fragment| error.clone().with(|error| error.fragment = Some(fragment)))
    };
    for family in 0..2 {
        let protocol = Protocol::Tcp;
        let (client, real, router) = (CLIENT[family], REAL[family], ROUTER[family]);
        let collided = shared(protocol, family);
        ask(&collided, &draft(protocol, client, FIRST[family]), real);
        let full = full(protocol, family, pool(OWN[family], 1, (2000, 2999)));
        for (director, to) in [(collided, SECOND[family]), (full, FIRST[family])] {
            let seen = ask(&director, &draft(protocol, client, to), real);
            let seen_text = seen.to_string();
            let sent = long(router, to, family, quoted(protocol, to, client));
            let about = quoted(protocol, real, &seen_text);
            let expected = long(router, real, family, about).with(|error| {
                if seen.ip() != at(client).ip() {
                    error.from = seen;
                }
            });
            for (piece, expected) in pieces(sent).into_iter().zip(pieces(expected)) {
                let (_, after) = director.handle(&piece.frame());
                assert_eq!(after, expected.forwarded().frame(), "{to}");
            }
            let sent = long(real, &seen_text, family, quoted(protocol, &seen_text, real));
            let expected = long(to, client, family, quoted(protocol, client, to));
            for (piece, expected) in pieces(sent).into_iter().zip(pieces(expected)) {
                let (_, after) = director.handle(&piece.frame());
                assert_eq!(after, expected.returned().frame(), "{to}");
            }
        }
    }
}
