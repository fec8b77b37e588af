//! What each forwarding method makes of a frame: compared with a frame written from scratch, so every
//! checksum is checked with every byte.

use lvs_common::abi::{Config, Method, Pick};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason};

use super::frames::{ACK, Draft, Payload, SYN, at};
use super::memory::{Director, INTERFACE};
use lvs_frames::checksum;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const REAL: [&str; 2] = ["10.0.0.1:8080", "[2001:db8:2::1]:8080"];

/// A director with one service and one server.
fn director(protocol: Protocol, to: &str, real: &str, method: Method) -> Director {
    let mut director = Director::new();
    let service = director.serve(protocol, at(to), Pick::Rotate);
    director.add(service, at(real), method, 1);
    director
}

/// First packets of all protocols from a client to a virtual address, with what can vary in each.
fn first_packets(family: usize) -> Vec<(Protocol, Draft)> {
    let (from, to) = (CLIENT[family], VIRTUAL[family]);
    let mut drafts = vec![
        (Protocol::Tcp, Draft::tcp(from, to, SYN)),
        (Protocol::Udp, Draft::udp(from, to)),
        (Protocol::Sctp, Draft::sctp(from, to, 1)),
    ];
    for size in [0, 1, 700, 1400] {
        drafts.push((Protocol::Tcp, Draft::tcp(from, to, SYN).sized(size)));
        drafts.push((Protocol::Udp, Draft::udp(from, to).sized(size)));
        drafts.push((Protocol::Sctp, Draft::sctp(from, to, 1).sized(size)));
    }
    let unsummed = Draft::udp(from, to).with(|draft| {
        if let Payload::Udp { checksum, .. } = &mut draft.payload {
            *checksum = false;
        }
    });
    drafts.push((Protocol::Udp, unsummed));
    let around: Vec<_> = drafts[..3].to_vec();
    for (protocol, draft) in around {
        if family == 0 {
            let with_options = draft.with(|draft| draft.options = vec![7, 7, 4, 0, 0, 0, 0, 0]);
            drafts.push((protocol, with_options));
        } else {
            let with_extensions = draft.with(|draft| {
                draft.extensions = vec![
                    (0, vec![0, 0, 5, 2, 0, 0, 1, 0]),
                    (43, vec![0, 1, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
                    (51, [vec![0, 4], vec![9; 22]].concat()),
                    (60, vec![0, 0, 1, 4, 0, 0, 0, 0]),
                ];
            });
            drafts.push((protocol, with_extensions));
        }
    }
    drafts
}

#[test]
fn direct_routing_changes_nothing_but_the_link_and_one_hop() {
    for family in 0..2 {
        for (protocol, draft) in first_packets(family) {
            let director = director(protocol, VIRTUAL[family], REAL[family], Method::Direct);
            let (verdict, after) = director.handle(&draft.frame());
            assert_eq!(verdict.action(), Action::Transmit, "{draft:?}");
            assert_eq!(after, draft.forwarded().frame());
        }
    }
}

#[test]
fn nat_rewrites_both_directions_with_all_their_checksums() {
    for family in 0..2 {
        for (protocol, draft) in first_packets(family) {
            let director = director(protocol, VIRTUAL[family], REAL[family], Method::Nat);
            let real = at(REAL[family]);
            let (verdict, after) = director.handle(&draft.frame());
            assert_eq!(verdict.reason(), Some(Reason::Nat), "{draft:?}");
            let expected = draft.clone().forwarded().with(|draft| draft.to = real);
            assert_eq!(after, expected.frame(), "{draft:?}");

            let asked = (draft.from, draft.to);
            let answer = draft.with(|draft| (draft.from, draft.to) = (real, asked.0));
            let (verdict, after) = director.handle(&answer.frame());
            assert_eq!(verdict.reason(), Some(Reason::NatReply), "{answer:?}");
            let expected = answer
                .clone()
                .returned()
                .with(|answer| answer.from = asked.1);
            assert_eq!(after, expected.frame(), "{answer:?}");
        }
    }
}

#[test]
fn a_udp_checksum_that_comes_out_as_zero_is_sent_as_all_ones() {
    // Tune the data until the checksum after the rewrite is zero; all ones is then the only form.
    let expected = |word: u16| {
        Draft::udp(CLIENT[0], REAL[0]).with(|draft| {
            if let Payload::Udp { data, .. } = &mut draft.payload {
                *data = word.to_be_bytes().to_vec();
            }
        })
    };
    let word = (0..=u16::MAX)
        .find(|word| expected(*word).frame()[40..42] == [0xff, 0xff])
        .expect("one word makes the sum zero");
    let director = director(Protocol::Udp, VIRTUAL[0], REAL[0], Method::Nat);
    let draft = expected(word).with(|draft| draft.to = at(VIRTUAL[0]));
    let (_, after) = director.handle(&draft.frame());
    assert_eq!(after, expected(word).forwarded().frame());
}

#[test]
fn nat_keeps_the_port_of_a_server_that_has_none() {
    let director = director(Protocol::Sctp, VIRTUAL[0], "10.0.0.1:0", Method::Nat);
    let draft = Draft::sctp(CLIENT[0], VIRTUAL[0], 1);
    let (_, after) = director.handle(&draft.frame());
    let expected = draft.forwarded().with(|draft| draft.to = at("10.0.0.1:80"));
    assert_eq!(after, expected.frame());
    let answer = Draft::sctp("10.0.0.1:80", CLIENT[0], 2);
    let (_, after) = director.handle(&answer.frame());
    let expected = answer
        .returned()
        .with(|answer| answer.from = at(VIRTUAL[0]));
    assert_eq!(after, expected.frame());
}

#[test]
fn nat_cannot_change_the_family() {
    let director = director(Protocol::Tcp, VIRTUAL[0], REAL[1], Method::Nat);
    let (verdict, _) = director.handle(&Draft::tcp(CLIENT[0], VIRTUAL[0], SYN).frame());
    assert_eq!(verdict.action(), Action::Drop);
}

/// The packet inside, written from scratch with a header that tunnels: identification is free.
fn outer(inner: &Draft, family: usize, class: u8, dont_fragment: bool, seen: &[u8]) -> Vec<u8> {
    let protocol = if inner.from.is_ipv4() { 4 } else { 41 };
    let from = ["192.0.2.250:0", "[2001:db8::fa]:0"][family];
    let draft = Draft::other(from, REAL[family], protocol, inner.packet()).with(|draft| {
        draft.macs = inner.macs;
        draft.ttl = inner.ttl;
        draft.class = class;
        draft.dont_fragment = dont_fragment;
        draft.identification = u16::from_be_bytes([seen[18], seen[19]]);
    });
    draft.frame()
}

#[test]
fn a_tunnel_wraps_either_family_in_either() {
    for (inside, to) in VIRTUAL.iter().enumerate() {
        for (outside, real) in REAL.iter().enumerate() {
            for (protocol, draft) in first_packets(inside) {
                let director = director(protocol, to, real, Method::Tunnel);
                let (verdict, after) = director.handle(&draft.frame());
                assert_eq!(verdict.reason(), Some(Reason::Tunnel), "{draft:?}");
                let inner = draft.forwarded();
                assert_eq!(after, outer(&inner, outside, 0, inside == 0, &after));
            }
        }
    }
}

#[test]
fn a_tunnel_takes_over_the_traffic_class_and_dont_fragment() {
    let director = director(Protocol::Tcp, VIRTUAL[0], REAL[0], Method::Tunnel);
    for (class, dont_fragment) in [(0xb8, true), (0xb9, false), (2, false), (1, true)] {
        let draft = Draft::tcp(CLIENT[0], VIRTUAL[0], SYN).with(|draft| {
            (draft.class, draft.dont_fragment) = (class, dont_fragment);
        });
        let (_, after) = director.handle(&draft.frame());
        let inner = draft.forwarded();
        assert_eq!(after, outer(&inner, 0, class, dont_fragment, &after));
    }
    // Congestion experienced stays inside (RFC 6040, compatible with IPVS).
    let marked = Draft::tcp(CLIENT[0], VIRTUAL[0], SYN).with(|draft| draft.class = 3);
    let (_, after) = director.handle(&marked.frame());
    assert_eq!(after, outer(&marked.forwarded(), 0, 2, true, &after));
}

#[test]
fn a_tunnels_source_can_differ_by_flow() {
    let mut director = director(Protocol::Udp, VIRTUAL[0], REAL[0], Method::Tunnel);
    director.options = Config::RSS_SOURCE;
    let mut sources = std::collections::HashSet::new();
    for port in 1000..1032 {
        let draft = Draft::udp(&format!("198.51.100.7:{port}"), VIRTUAL[0]);
        let (first, second) = (
            director.handle(&draft.frame()).1,
            director.handle(&draft.frame()).1,
        );
        assert_eq!(first[26..34], second[26..34], "one flow, one source");
        assert_eq!(first[26..28], [172, 16]);
        assert_eq!(checksum(&first[14..34]), 0);
        sources.insert(first[26..30].to_vec());
    }
    assert!(sources.len() > 28);
}

#[test]
fn vlan_tags_come_off_and_on_by_the_way_a_packet_goes() {
    for family in 0..2 {
        for arriving in [vec![], vec![5], vec![7, 0x2005]] {
            for leaving in [0_u16, 9] {
                for (method, returning) in [
                    (Method::Direct, 0),
                    (Method::Tunnel, 0),
                    (Method::Nat, 0),
                    (Method::Nat, 5),
                    (Method::Nat, 12),
                ] {
                    let to = VIRTUAL[family];
                    let mut director = director(Protocol::Tcp, to, REAL[family], method);
                    director.hops[1].vlan = leaving.into();
                    director.know_vlans(INTERFACE, &arriving);
                    director.know_vlans(INTERFACE, &[leaving]);
                    director.lead_clients_by_vlan(returning);
                    let draft = Draft::tcp(CLIENT[family], VIRTUAL[family], SYN)
                        .with(|draft| draft.tags.clone_from(&arriving));
                    let (verdict, after) = director.handle(&draft.frame());
                    assert!(verdict.is_forwarded());
                    let tags: Vec<u16> =
                        Some(leaving).filter(|tag| *tag != 0).into_iter().collect();
                    let expected = draft
                        .clone()
                        .forwarded()
                        .with(|draft| draft.tags.clone_from(&tags));
                    match method {
                        Method::Direct => assert_eq!(after, expected.frame()),
                        Method::Nat => {
                            let expected = expected.with(|draft| draft.to = at(REAL[family]));
                            assert_eq!(after, expected.frame());
                            let answer = Draft::tcp(REAL[family], CLIENT[family], SYN | ACK)
                                .with(|answer| answer.tags.clone_from(&tags));
                            let (_, after) = director.handle(&answer.frame());
                            let expected = answer.returned().with(|answer| {
                                answer.from = at(VIRTUAL[family]);
                                answer.tags = Some(returning)
                                    .filter(|tag| *tag != 0)
                                    .into_iter()
                                    .collect();
                            });
                            assert_eq!(
                                after,
                                expected.frame(),
                                "as the route leads, not as the client's came: {arriving:?}"
                            );
                        }
                        _ => assert!(after.ends_with(&expected.packet())),
                    }
                }
            }
        }
    }
}

#[test]
fn another_interface_is_reached_by_redirection() {
    let mut director = director(Protocol::Tcp, VIRTUAL[0], REAL[0], Method::Nat);
    (director.hops[1].interface, director.hops[1].device) = (INTERFACE + 1, INTERFACE + 1);
    let interface = INTERFACE + 1;
    let (verdict, _) = director.handle(&Draft::tcp(CLIENT[0], VIRTUAL[0], SYN).frame());
    assert_eq!(verdict.action(), Action::Redirect { interface });
}
