//! Tunnels by GUE and GRE: compared with frames written from scratch, every checksum computed over every byte.

use lvs_common::abi::{Encapsulation, Method, Pick};
use lvs_common::connection::Protocol;
use lvs_common::packet::Packet as _;
use lvs_common::verdict::{Action, Reason};
use lvs_frames::checksum;

use super::frames::{ACK, CLIENT as CLIENT_MAC, DIRECTOR, Draft, Payload, SYN, at};
use super::memory::Director;
use super::packet::Frame;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const REAL: [&str; 2] = ["10.0.0.1:80", "[2001:db8:2::1]:80"];
/// The outer sources of the hop that [`super::memory`] gives every server.
const SOURCE: [&str; 2] = ["192.0.2.250:0", "[2001:db8::fa]:0"];
const PORT: u16 = 6080;

const ALL: [Encapsulation; 5] = [
    Encapsulation::GUE,
    Encapsulation::GUE.with_checksum(),
    Encapsulation::GUE.with_remote_checksum(),
    Encapsulation::GRE,
    Encapsulation::GRE.with_checksum(),
];

/// A director with one service and one server behind a tunnel.
fn director(protocol: Protocol, to: &str, real: &str, encapsulation: Encapsulation) -> Director {
    let mut director = Director::new();
    let service = director.serve(protocol, at(to), Pick::Rotate);
    let server = director.add(service, at(real), Method::Tunnel, 1) as usize;
    director.servers[server].flags |= encapsulation.to_bits();
    director.servers[server].tunnel_port = PORT.into();
    director
}

/// The frame around a packet. `seen` says what is free: the outer identification and the UDP source port.
fn outer(inner: &Draft, family: usize, encapsulation: Encapsulation, seen: &[u8]) -> Vec<u8> {
    let (packet, v4) = (inner.packet(), inner.from.is_ipv4());
    // Nobody knows the sum over a packet whose CRC a device computes.
    let unknown = Frame::BUFFER && matches!(inner.payload, Payload::Sctp { .. });
    let summed = encapsulation.has_checksum() && !unknown;
    let (source, destination) = (at(SOURCE[family]), at(REAL[family]));
    let (payload, [from, to]) = if encapsulation.kind() == Encapsulation::GUE {
        let at = 14 + [20, 40][family];
        let ports = [u16::from_be_bytes([seen[at], seen[at + 1]]), PORT];
        assert!((32_768..61_000).contains(&ports[0]));
        let gue = [0, if v4 { 4 } else { 41 }, 0, 0];
        let data = [&gue[..], &packet].concat();
        let checksum = summed;
        (Payload::Udp { data, checksum }, ports)
    } else {
        let kind: u16 = if v4 { 0x0800 } else { 0x86dd };
        let mut bytes = vec![if summed { 0x80 } else { 0 }, 0];
        bytes.extend(kind.to_be_bytes());
        if summed {
            bytes.extend([0; 4]);
        }
        bytes.extend(packet);
        if summed {
            let sum = checksum(&bytes);
            bytes[4..6].copy_from_slice(&sum.to_be_bytes());
        }
        (Payload::Other(47, bytes), [0; 2])
    };
    let mut draft = Draft::udp(SOURCE[family], REAL[family]).with(|draft| {
        draft.payload = payload;
        draft.macs = inner.macs;
        draft.ttl = inner.ttl;
        draft.dont_fragment = v4 && inner.dont_fragment && inner.fragment.is_none();
        draft.identification = u16::from_be_bytes([seen[18], seen[19]]);
    });
    draft.from = (source.ip(), from).into();
    draft.to = (destination.ip(), to).into();
    draft.frame()
}

/// First packets of connections, with all that decides how the sum over them is known.
fn first_packets(family: usize) -> Vec<(Protocol, Draft)> {
    let (from, to) = (CLIENT[family], VIRTUAL[family]);
    let mut drafts = Vec::new();
    for size in [0, 1, 2, 63, 64, 65, 700, 1300] {
        drafts.push((Protocol::Tcp, Draft::tcp(from, to, SYN).sized(size)));
        drafts.push((Protocol::Udp, Draft::udp(from, to).sized(size)));
        drafts.push((Protocol::Sctp, Draft::sctp(from, to, 1).sized(size)));
        let unsummed = Draft::udp(from, to).sized(size).with(|draft| {
            if let Payload::Udp { checksum, .. } = &mut draft.payload {
                *checksum = false;
            }
        });
        drafts.push((Protocol::Udp, unsummed));
    }
    let with_more = drafts[8..12].iter().map(|(protocol, draft)| {
        let more = draft.clone().with(|draft| {
            if family == 0 {
                draft.options = vec![7, 7, 4, 0, 0, 0, 0, 0];
            } else {
                draft.extensions = vec![(60, vec![0, 0, 1, 4, 0, 0, 0, 0])];
            }
        });
        (*protocol, more)
    });
    let with_more: Vec<_> = with_more.collect();
    drafts.extend(with_more);
    drafts
}

#[test]
fn gue_and_gre_carry_either_family_in_either() {
    for encapsulation in ALL {
        for (inside, to) in VIRTUAL.iter().enumerate() {
            for (outside, real) in REAL.iter().enumerate() {
                for (protocol, draft) in first_packets(inside) {
                    let director = director(protocol, to, real, encapsulation);
                    // The first packet of a connection, and one of a known one.
                    for _ in 0..2 {
                        let (verdict, after) = director.handle(&draft.frame());
                        assert_eq!(verdict.reason(), Some(Reason::Tunnel), "{draft:?}");
                        let inner = draft.clone().forwarded();
                        let expected = outer(&inner, outside, encapsulation, &after);
                        assert_eq!(after, expected, "{encapsulation:?} {draft:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_known_connection_goes_by_the_encapsulation_that_its_server_has_now() {
    let mut director = director(Protocol::Tcp, VIRTUAL[0], REAL[0], Encapsulation::GRE);
    director.handle(&Draft::tcp(CLIENT[0], VIRTUAL[0], SYN).frame());
    for encapsulation in ALL {
        director.servers[0].flags = encapsulation.to_bits();
        let ack = Draft::tcp(CLIENT[0], VIRTUAL[0], ACK).sized(500);
        let (_, after) = director.handle(&ack.frame());
        let expected = outer(&ack.forwarded(), 0, encapsulation, &after);
        assert_eq!(after, expected, "{encapsulation:?}");
    }
}

#[test]
fn a_fragment_has_the_checksum_of_its_bytes() {
    for encapsulation in ALL {
        let director = director(Protocol::Udp, VIRTUAL[0], REAL[0], encapsulation);
        for piece in [(0, 808), (808, 700)] {
            let draft = Draft::udp(CLIENT[0], VIRTUAL[0])
                .sized(1500)
                .with(|draft| draft.fragment = Some(piece));
            let (verdict, after) = director.handle(&draft.frame());
            assert_eq!(verdict.reason(), Some(Reason::Tunnel), "{piece:?}");
            let expected = outer(&draft.forwarded(), 0, encapsulation, &after);
            assert_eq!(after, expected, "{encapsulation:?} {piece:?}");
        }
    }
}

#[test]
fn flows_have_source_ports_of_their_own() {
    let director = director(Protocol::Udp, VIRTUAL[0], REAL[0], Encapsulation::GUE);
    let mut ports = std::collections::HashSet::new();
    for port in 1000..1032 {
        let draft = Draft::udp(&format!("198.51.100.7:{port}"), VIRTUAL[0]);
        let [first, second] = [(); 2].map(|()| director.handle(&draft.frame()).1);
        assert_eq!(first[34..36], second[34..36], "one flow, one port");
        ports.insert(first[34..36].to_vec());
    }
    assert!(ports.len() > 28);
}

#[test]
fn the_largest_packet_is_smaller_by_all_outer_headers() {
    for (encapsulation, overhead) in ALL.into_iter().zip([12, 12, 12, 4, 8]) {
        for inside in 0..2 {
            for outside in 0..2 {
                let mut director =
                    director(Protocol::Tcp, VIRTUAL[inside], REAL[outside], encapsulation);
                director.hops[1].mtu = 1400;
                let room = 1400 - [20, 40][outside] - overhead;
                let syn = Draft::tcp(CLIENT[inside], VIRTUAL[inside], SYN);
                let fits = syn.clone().sized(room - [40, 60][inside]);
                // Twice: by the stages and by the fast path.
                for _ in 0..2 {
                    let (verdict, after) = director.handle(&fits.frame());
                    assert!(verdict.is_forwarded());
                    assert_eq!(after.len(), 14 + 1400);
                    let larger = syn.clone().sized(room - [40, 60][inside] + 1);
                    let (verdict, after) = director.handle(&larger.frame());
                    assert_eq!(verdict.reason(), Some(Reason::TooBig));
                    let place = 14 + [20, 40][inside] + 6;
                    let named = u16::from_be_bytes([after[place], after[place + 1]]);
                    assert_eq!(usize::from(named), room);
                }
            }
        }
    }
}

/// A director with a connection, a packet of that as it went into the tunnel, and the one around it.
fn tunnelled(family: usize, encapsulation: Encapsulation) -> (Director, Vec<u8>, Vec<u8>) {
    let (real, to) = (REAL[family], VIRTUAL[family]);
    let director = director(Protocol::Tcp, to, real, encapsulation);
    let draft = Draft::tcp(CLIENT[family], to, SYN).sized(20);
    let (verdict, after) = director.handle(&draft.frame());
    assert_eq!(verdict.reason(), Some(Reason::Tunnel));
    (director, draft.forwarded().packet(), after[14..].to_vec())
}

const ROUTER: [&str; 2] = ["203.0.113.254:0", "[2001:db8:f::fe]:0"];

#[test]
fn an_error_about_a_packet_in_a_tunnel_is_told_to_the_client() {
    let all = ALL.into_iter().chain([Encapsulation::IPIP]);
    for (family, encapsulation) in all.flat_map(|tunnel| [(0, tunnel), (1, tunnel)]) {
        let around = u32::try_from([20, 40][family] + encapsulation.overhead()).expect("small");
        let (too_big, unreachable) = ([(3, 4, 1400), (2, 0, 1400)], [(3, 1, 0), (1, 3, 0)]);
        for (error, rest) in [
            (too_big[family], 1400 - around),
            (unreachable[family], 0),
            ([(11, 0, 0), (3, 0, 0)][family], 0),
        ] {
            let (director, inner, outer) = tunnelled(family, encapsulation);
            let frame = Draft::icmp(ROUTER[family], SOURCE[family], error, outer).frame();
            let (verdict, after) = director.handle(&frame);
            let end = (verdict.action(), verdict.reason());
            let expected = (Action::Transmit, Some(Reason::IcmpToClient));
            assert_eq!(end, expected, "{encapsulation:?} {error:?}");
            let error = (error.0, error.1, rest);
            let told = Draft::icmp(VIRTUAL[family], CLIENT[family], error, inner).with(|told| {
                told.macs = (CLIENT_MAC, DIRECTOR);
                told.dont_fragment = false;
                told.identification = 0;
            });
            assert_eq!(after, told.frame(), "{encapsulation:?} {error:?}");
            assert_eq!(director.stats(0).out_packets, 1);
        }
    }
}

#[test]
fn an_error_about_another_packet_in_a_tunnel_is_the_kernels() {
    for encapsulation in ALL {
        for family in 0..2 {
            let (director, _, outer) = tunnelled(family, encapsulation);
            let header = [20, 40][family];
            let bytes = outer.len();
            // Of another client, to another server, and cut before the packet inside.
            let mut others = [outer.clone(), outer.clone(), outer];
            others[0][bytes - 40] ^= 1;
            others[1][header - 1] ^= 1;
            others[2].truncate(header + 8);
            for about in others {
                let error = [(3, 4, 1400), (2, 0, 1400)][family];
                let frame = Draft::icmp(ROUTER[family], SOURCE[family], error, about).frame();
                let (verdict, after) = director.handle(&frame);
                let end = (verdict.action(), verdict.reason());
                assert_eq!(end, (Action::Pass, Some(Reason::IcmpOther)));
                assert_eq!(after, frame);
            }
        }
    }
}

#[test]
fn a_damaged_error_about_a_packet_in_a_tunnel_is_the_kernels() {
    for (family, encapsulation) in ALL
        .into_iter()
        .flat_map(|tunnel| [(0, tunnel), (1, tunnel)])
    {
        let (director, _, outer) = tunnelled(family, encapsulation);
        let error = [(3, 1, 0), (1, 3, 0)][family];
        let sound = Draft::icmp(ROUTER[family], SOURCE[family], error, outer).frame();
        let icmp = 14 + [20, 40][family];
        // The error itself, its checksum, the client's data.
        for place in [icmp + 1, icmp + 2, sound.len() - 1] {
            let mut frame = sound.clone();
            frame[place] ^= 4;
            let (verdict, after) = director.handle(&frame);
            let end = (verdict.action(), verdict.reason());
            let expected = (Action::Pass, Some(Reason::IcmpOther));
            assert_eq!(end, expected, "{encapsulation:?} {place}");
            assert_eq!(after, frame);
        }
        let (verdict, _) = director.handle(&sound);
        assert_eq!(verdict.reason(), Some(Reason::IcmpToClient));
    }
}

#[test]
fn an_mtu_that_leaves_no_room_is_told_to_nobody() {
    for (family, mtu) in [(0, 68 + 20 + 11), (1, 1280 + 40 + 11)] {
        let (director, _, outer) = tunnelled(family, Encapsulation::GUE);
        let error = [(3, 4, mtu), (2, 0, mtu)][family];
        let frame = Draft::icmp(ROUTER[family], SOURCE[family], error, outer).frame();
        let (verdict, _) = director.handle(&frame);
        let end = (verdict.action(), verdict.reason());
        assert_eq!(end, (Action::Drop, Some(Reason::Unanswerable)));
    }
}
