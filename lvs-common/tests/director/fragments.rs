//! Fragments are forwarded one by one: the first has the ports of the others.

use lvs_common::abi::{Method, Pick};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason};

use super::frames::{Draft, SYN, at};
use super::memory::Director;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const REAL: [&str; 2] = ["10.0.0.1:8080", "[2001:db8:2::1]:8080"];

fn director(protocol: Protocol, family: usize, method: Method) -> Director {
    let mut director = Director::new();
    let service = director.serve(protocol, at(VIRTUAL[family]), Pick::Rotate);
    director.add(service, at(REAL[family]), method, 1);
    director
}

/// A datagram of 8 + 32 bytes in three pieces.
fn pieces(draft: &Draft) -> [Draft; 3] {
    let piece = |fragment| {
        draft
            .clone()
            .sized(32)
            .with(|draft| draft.fragment = Some(fragment))
    };
    [piece((0, 16)), piece((16, 16)), piece((32, 8))]
}

#[test]
fn later_fragments_follow_the_first_by_every_method() {
    for family in 0..2 {
        for method in [Method::Direct, Method::Nat] {
            let director = director(Protocol::Udp, family, method);
            for piece in pieces(&Draft::udp(CLIENT[family], VIRTUAL[family])) {
                let (verdict, after) = director.handle(&piece.frame());
                assert!(verdict.is_forwarded(), "{verdict:?}");
                // Cut from the datagram as NAT makes it: its checksum is right once it is whole again.
                let expected = piece.forwarded().with(|piece| {
                    if method == Method::Nat {
                        piece.to = at(REAL[family]);
                    }
                });
                assert_eq!(after, expected.frame());
            }
        }
        let director = director(Protocol::Udp, family, Method::Nat);
        director.handle(&Draft::udp(CLIENT[family], VIRTUAL[family]).frame());
        for piece in pieces(&Draft::udp(REAL[family], CLIENT[family])) {
            let (verdict, after) = director.handle(&piece.frame());
            assert_eq!(verdict.reason(), Some(Reason::NatReply));
            let expected = piece
                .returned()
                .with(|piece| piece.from = at(VIRTUAL[family]));
            assert_eq!(after, expected.frame());
        }
    }
}

#[test]
fn a_later_fragment_alone_passes() {
    for family in 0..2 {
        let director = director(Protocol::Udp, family, Method::Direct);
        let [_, later, _] = pieces(&Draft::udp(CLIENT[family], VIRTUAL[family]));
        let (verdict, _) = director.handle(&later.frame());
        assert_eq!(
            (verdict.action(), verdict.reason()),
            (Action::Pass, Some(Reason::StrayFragment))
        );
    }
}

#[test]
fn fragments_of_another_packet_are_none_of_this_one() {
    for family in 0..2 {
        let director = director(Protocol::Udp, family, Method::Direct);
        let [first, later, _] = pieces(&Draft::udp(CLIENT[family], VIRTUAL[family]));
        director.handle(&first.frame());
        let other = later.with(|piece| piece.identification += 1);
        let (verdict, _) = director.handle(&other.frame());
        assert_eq!(verdict.reason(), Some(Reason::StrayFragment));
    }
}

#[test]
fn fragments_that_hide_the_transport_header_are_dropped() {
    for family in 0..2 {
        let director = director(Protocol::Tcp, family, Method::Direct);
        let syn = Draft::tcp(CLIENT[family], VIRTUAL[family], SYN).sized(32);
        let tiny = syn.with(|syn| syn.fragment = Some((0, 16)));
        let (verdict, _) = director.handle(&tiny.frame());
        assert_eq!(
            (verdict.action(), verdict.reason()),
            (Action::Drop, Some(Reason::FragmentOverlap))
        );
    }
    // RFC 1858: offset 8 would overwrite the flags.
    let director = director(Protocol::Tcp, 0, Method::Direct);
    let syn = Draft::tcp(CLIENT[0], VIRTUAL[0], SYN).sized(32);
    let overlapping = syn.with(|syn| syn.fragment = Some((8, 16)));
    let (verdict, _) = director.handle(&overlapping.frame());
    assert_eq!(
        (verdict.action(), verdict.reason()),
        (Action::Drop, Some(Reason::FragmentOverlap))
    );
}

#[test]
fn an_sctp_fragment_whose_port_would_change_is_dropped() {
    let first = |to: &str| {
        Draft::sctp(CLIENT[0], to, 1)
            .sized(64)
            .with(|draft| draft.fragment = Some((0, 32)))
    };
    let director = director(Protocol::Sctp, 0, Method::Nat);
    let (verdict, _) = director.handle(&first(VIRTUAL[0]).frame());
    assert_eq!(
        (verdict.action(), verdict.reason()),
        (Action::Drop, Some(Reason::NatImpossible))
    );

    // The CRC covers no addresses: without a new port it stays right.
    let mut director = Director::new();
    let service = director.serve(Protocol::Sctp, at(VIRTUAL[0]), Pick::Rotate);
    director.add(service, at("10.0.0.1:80"), Method::Nat, 1);
    let (_, after) = director.handle(&first(VIRTUAL[0]).frame());
    assert_eq!(after, first("10.0.0.1:80").forwarded().frame());
}

#[test]
fn an_atomic_ipv6_fragment_is_a_whole_packet() {
    let director = director(Protocol::Udp, 1, Method::Nat);
    let draft = Draft::udp(CLIENT[1], VIRTUAL[1]).sized(32);
    let atomic = draft.with(|draft| draft.fragment = Some((0, 40)));
    let (_, after) = director.handle(&atomic.frame());
    assert_eq!(
        after,
        atomic
            .forwarded()
            .with(|draft| draft.to = at(REAL[1]))
            .frame()
    );
}
