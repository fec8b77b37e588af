//! ICMP errors about connections follow them, in both directions.

use lvs_common::abi::{Method, Pick};
use lvs_common::connection::{Ports, Protocol};
use lvs_common::forward::stages;
use lvs_common::verdict::{Action, Reason, Verdict};

use super::frames::{Draft, SYN, at};
use super::memory::Director;
use super::packet::Frame;
use super::stale_workspace;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const REAL: [&str; 2] = ["10.0.0.1:8080", "[2001:db8:2::1]:8080"];
const ROUTER: [&str; 2] = ["203.0.113.254:0", "[2001:db8:f::fe]:0"];
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// Fragmentation needed, packet too big.
const TOO_BIG: [(u8, u8, u32); 2] = [(3, 4, 1400), (2, 0, 1400)];

fn draft(protocol: Protocol, from: &str, to: &str) -> Draft {
    match protocol {
        Protocol::Tcp => Draft::tcp(from, to, SYN),
        Protocol::Udp => Draft::udp(from, to),
        Protocol::Sctp => Draft::sctp(from, to, 1),
    }
}

/// A director with a connection.
fn connected(protocol: Protocol, family: usize, method: Method) -> Director {
    let mut director = Director::new();
    let service = director.serve(protocol, at(VIRTUAL[family]), Pick::Rotate);
    director.add(service, at(REAL[family]), method, 1);
    let first = draft(protocol, CLIENT[family], VIRTUAL[family]);
    assert!(director.handle(&first.frame()).0.is_forwarded());
    director
}

/// A packet as an error quotes it: 8 bytes of the transport header are sure to be there. The quoted
/// transport checksum is not among what NAT keeps right (RFC 5508 section 4.2 asks for it only
/// where the whole segment is quoted), so it is left out.
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
fn from_the_clients_side_to_the_real_server() {
    for protocol in PROTOCOLS {
        for family in 0..2 {
            let (client, to, real) = (CLIENT[family], VIRTUAL[family], REAL[family]);
            // A router on the way to the client could not forward what the server sent.
            let about = quoted(protocol, to, client);
            let error = Draft::icmp(ROUTER[family], to, TOO_BIG[family], about);

            let director = connected(protocol, family, Method::Direct);
            let (verdict, after) = director.handle(&error.frame());
            assert_eq!(verdict.reason(), Some(Reason::IcmpToServer));
            assert_eq!(after, error.clone().forwarded().frame());

            let director = connected(protocol, family, Method::Tunnel);
            let (verdict, after) = director.handle(&error.frame());
            assert_eq!(verdict.reason(), Some(Reason::IcmpToServer));
            assert!(after.ends_with(&error.clone().forwarded().packet()));

            let director = connected(protocol, family, Method::Nat);
            let (verdict, after) = director.handle(&error.frame());
            assert_eq!(
                (verdict.action(), verdict.reason()),
                (Action::Transmit, Some(Reason::IcmpToServer))
            );
            let about = quoted(protocol, real, client);
            let expected = Draft::icmp(ROUTER[family], real, TOO_BIG[family], about);
            assert_eq!(after, expected.forwarded().frame(), "{protocol:?}");
        }
    }
}

#[test]
fn from_the_real_servers_side_to_the_client() {
    for protocol in PROTOCOLS {
        for family in 0..2 {
            let (client, to, real) = (CLIENT[family], VIRTUAL[family], REAL[family]);
            let director = connected(protocol, family, Method::Nat);
            for sender in [real, ROUTER[family]] {
                let error = (TOO_BIG[family].0, 0, 0);
                let frame =
                    Draft::icmp(sender, client, error, quoted(protocol, client, real)).frame();
                let (verdict, after) = director.handle(&frame);
                assert_eq!(verdict.reason(), Some(Reason::IcmpToClient));
                let expected = Draft::icmp(to, client, error, quoted(protocol, client, to));
                assert_eq!(after, expected.returned().frame(), "{protocol:?}");
            }
        }
    }
}

#[test]
fn an_error_about_an_unknown_connection_is_the_kernels() {
    for family in 0..2 {
        let director = connected(Protocol::Tcp, family, Method::Nat);
        let other = ["198.51.100.8:1", "[2001:db8:c::8]:1"][family];
        for about in [
            quoted(Protocol::Tcp, VIRTUAL[family], other),
            quoted(Protocol::Udp, VIRTUAL[family], CLIENT[family]),
            quoted(Protocol::Tcp, other, REAL[family]),
            Vec::new(),
        ] {
            let error = Draft::icmp(ROUTER[family], VIRTUAL[family], TOO_BIG[family], about);
            let (verdict, after) = director.handle(&error.frame());
            assert_eq!(
                (verdict.action(), verdict.reason()),
                (Action::Pass, Some(Reason::IcmpOther))
            );
            assert_eq!(after, error.frame());
        }
    }
}

#[test]
fn an_error_whose_time_is_up_is_not_answered() {
    for method in [Method::Direct, Method::Nat] {
        let director = connected(Protocol::Tcp, 0, method);
        let about = quoted(Protocol::Tcp, VIRTUAL[0], CLIENT[0]);
        let error =
            Draft::icmp(ROUTER[0], VIRTUAL[0], TOO_BIG[0], about).with(|error| error.ttl = 1);
        let (verdict, _) = director.handle(&error.frame());
        assert_eq!(
            (verdict.action(), verdict.reason()),
            (Action::Drop, Some(Reason::Unanswerable))
        );
    }
}

#[test]
fn an_error_does_not_change_its_connections_state() {
    let director = connected(Protocol::Tcp, 0, Method::Nat);
    let before = (director.states(), director.connections(0));
    let about = quoted(Protocol::Tcp, VIRTUAL[0], CLIENT[0]);
    director.handle(&Draft::icmp(ROUTER[0], VIRTUAL[0], TOO_BIG[0], about).frame());
    assert_eq!(before, (director.states(), director.connections(0)));
}

/// An error in three pieces, of which the first has the headers of the packet that it is about.
fn pieces(error: &Draft) -> [Draft; 3] {
    let piece = |fragment| error.clone().with(|error| error.fragment = Some(fragment));
    [piece((0, 88)), piece((88, 48)), piece((136, 32))]
}

/// An error that quotes more of the packet than its headers.
fn long(from: &str, to: &str, kind: (u8, u8, u32), mut about: Vec<u8>) -> Draft {
    about.resize(160, 0x77);
    Draft::icmp(from, to, kind, about)
}

#[test]
fn fragments_of_an_error_follow_the_first_one_to_the_real_server() {
    for protocol in PROTOCOLS {
        for family in 0..2 {
            let (client, to, real) = (CLIENT[family], VIRTUAL[family], REAL[family]);
            let error = |about| long(ROUTER[family], to, TOO_BIG[family], about);
            for method in [Method::Direct, Method::Tunnel, Method::Nat] {
                let director = connected(protocol, family, method);
                let sent = pieces(&error(quoted(protocol, to, client)));
                // Cut from the error as it has to be: its checksum is right once it is whole again.
                let expected = match method {
                    Method::Nat => {
                        let about = quoted(protocol, real, client);
                        pieces(&long(ROUTER[family], real, TOO_BIG[family], about))
                    }
                    _ => sent.clone(),
                };
                for (piece, expected) in sent.iter().zip(expected) {
                    let (verdict, after) = director.handle(&piece.frame());
                    assert_eq!(verdict.reason(), Some(Reason::IcmpToServer), "{method:?}");
                    let expected = expected.forwarded();
                    if method == Method::Tunnel {
                        assert!(after.ends_with(&expected.packet()));
                    } else {
                        assert_eq!(after, expected.frame(), "{protocol:?} {method:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn fragments_of_an_error_follow_the_first_one_to_the_client() {
    for protocol in PROTOCOLS {
        for family in 0..2 {
            let (client, to, real) = (CLIENT[family], VIRTUAL[family], REAL[family]);
            let director = connected(protocol, family, Method::Nat);
            let sent = long(
                real,
                client,
                TOO_BIG[family],
                quoted(protocol, client, real),
            );
            let expected = long(to, client, TOO_BIG[family], quoted(protocol, client, to));
            for (piece, expected) in pieces(&sent).iter().zip(pieces(&expected)) {
                let (verdict, after) = director.handle(&piece.frame());
                let first = piece.fragment == Some((0, 88));
                let reason = if first {
                    Reason::IcmpToClient
                } else {
                    Reason::NatReply
                };
                assert_eq!(verdict.reason(), Some(reason));
                assert_eq!(after, expected.returned().frame(), "{protocol:?}");
            }
        }
    }
}

/// The verdict on a fragment, and whether it was held. The kernel gets what passes as it came.
fn handled(director: &Director, piece: &Draft) -> (Verdict, bool) {
    let mut frame = Frame::new(&piece.frame());
    frame.holder = Some(0);
    let verdict = stages(&mut frame, director, &mut stale_workspace::stale());
    (verdict, frame.holder == Some(1))
}

#[test]
fn a_fragment_of_an_error_that_comes_before_the_first_one_waits_for_it() {
    for family in 0..2 {
        let director = connected(Protocol::Tcp, family, Method::Nat);
        let about = quoted(Protocol::Tcp, VIRTUAL[family], CLIENT[family]);
        let error = long(ROUTER[family], VIRTUAL[family], TOO_BIG[family], about);
        let [first, second, _] = pieces(&error);
        let (verdict, held) = handled(&director, &second);
        assert_eq!(verdict.reason(), Some(Reason::FragmentHeld));
        assert!(held);
        assert!(handled(&director, &first).0.is_forwarded());
        let (verdict, held) = handled(&director, &second);
        assert_eq!(verdict.reason(), Some(Reason::IcmpToServer));
        assert!(!held);
    }
}

#[test]
fn a_fragment_whose_first_one_is_the_kernels_or_does_not_come_is_the_kernels() {
    for family in 0..2 {
        let director = connected(Protocol::Tcp, family, Method::Nat);
        let passed = |director: &Director, piece: &Draft| {
            let (verdict, held) = handled(director, piece);
            assert_eq!(
                (verdict.action(), verdict.reason(), held),
                (Action::Pass, Some(Reason::IcmpOther), false)
            );
        };
        let echo = ([8, 128][family], 0, 1);
        for piece in pieces(&long(CLIENT[family], VIRTUAL[family], echo, Vec::new())) {
            passed(&director, &piece);
        }
        // What is merely routed here does not wait.
        let [_, second, _] = pieces(&long(VIRTUAL[family], CLIENT[family], echo, Vec::new()));
        passed(&director, &second);
        let about = quoted(Protocol::Tcp, VIRTUAL[family], CLIENT[family]);
        let error = long(ROUTER[family], VIRTUAL[family], TOO_BIG[family], about);
        let [first, second, third] =
            pieces(&error).map(|piece| piece.with(|piece| piece.identification ^= 2));
        handled(&director, &first);
        // Its connection is over.
        director.pass_time(1_000);
        passed(&director, &third);
        // The daemon waited in vain.
        director.forget_fragments(Ports::default());
        passed(&director, &second);
    }
}

#[test]
fn a_fragment_of_an_error_whose_time_is_up_is_dropped() {
    for method in [Method::Direct, Method::Nat] {
        let director = connected(Protocol::Tcp, 0, method);
        let about = quoted(Protocol::Tcp, VIRTUAL[0], CLIENT[0]);
        let [first, later, _] = pieces(&long(ROUTER[0], VIRTUAL[0], TOO_BIG[0], about));
        director.handle(&first.frame());
        let (verdict, _) = director.handle(&later.with(|piece| piece.ttl = 1).frame());
        assert_eq!(
            (verdict.action(), verdict.reason()),
            (Action::Drop, Some(Reason::Unanswerable))
        );
    }
}
