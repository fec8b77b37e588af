//! IPv4 options, IPv6 extension headers and fragments.

use lvs_common::verdict::Reason;
use lvs_tests::frames::{Content, Fragment, Packet};
use lvs_tests::pairs;

use crate::world::{
    FAMILIES, Fate, METHODS, Method, PORT, Protocol, check, forwarded, fresh_port, opening,
    request, world,
};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// An extension header of so many words of eight bytes.
fn extension(number: u8, words: u8) -> (u8, Vec<u8>) {
    let mut rest = vec![0; usize::from(words) * 8 - 1];
    // The authentication header counts words of four bytes, less two.
    rest[0] = if number == AUTHENTICATION {
        words * 2 - 2
    } else {
        words - 1
    };
    (number, rest)
}

#[test]
fn ipv4_options_are_forwarded_unchanged() {
    let Some(world) = world() else { return };
    for (method, words) in pairs(METHODS, [1, 3, 10]) {
        let packet = Packet {
            options: vec![1; words * 4],
            ..request(4, method, opening(Protocol::Tcp))
        };
        let fate = Fate::tx(&forwarded(&packet, 4, method));
        let sentence = format!("{words} words of options by {method:?}");
        check(&world, &sentence, &packet.frame(), method.reason(), fate);
    }
}

#[test]
fn ipv6_extension_headers_are_forwarded_unchanged() {
    let Some(world) = world() else { return };
    for method in METHODS {
        for chain in [
            vec![extension(HOP_BY_HOP, 1)],
            vec![extension(AUTHENTICATION, 3)],
            vec![
                extension(HOP_BY_HOP, 2),
                extension(DESTINATION, 5),
                extension(ROUTING, 3),
                extension(AUTHENTICATION, 2),
                extension(DESTINATION, 1),
                extension(DESTINATION, 1),
            ],
            vec![extension(DESTINATION, 50)],
        ] {
            let packet = Packet {
                extensions: chain.clone(),
                ..request(6, method, opening(Protocol::Udp))
            };
            let fate = Fate::tx(&forwarded(&packet, 6, method));
            let numbers: Vec<u8> = chain.iter().map(|(number, _)| *number).collect();
            let sentence = format!("extension headers {numbers:?} by {method:?}");
            check(&world, &sentence, &packet.frame(), method.reason(), fate);
        }
    }
}

#[test]
fn too_long_a_chain_of_extension_headers_is_dropped() {
    let Some(world) = world() else { return };
    for (sentence, extensions) in [
        ("seven headers", vec![extension(DESTINATION, 1); 7]),
        ("half a kilobyte", vec![extension(DESTINATION, 60)]),
    ] {
        let packet = Packet {
            extensions,
            ..request(6, Method::Direct, opening(Protocol::Udp))
        };
        let frame = packet.frame();
        check(&world, sentence, &frame, Reason::HeaderChain, Fate::Drop);
    }
}

/// A datagram in three fragments.
fn fragments(packet: &Packet) -> [Packet; 3] {
    let part = |offset, length| Packet {
        fragment: Some(Fragment { offset, length }),
        ..packet.clone()
    };
    [part(0, Some(24)), part(24, Some(16)), part(40, None)]
}

fn long(family: u8, method: Method, identification: u32) -> Packet {
    let content = Content::Udp {
        ports: [fresh_port(), PORT],
        checksum: true,
        data: (0..51).collect(),
    };
    Packet {
        identification,
        ..request(family, method, content)
    }
}

#[test]
fn later_fragments_follow_the_first_one() {
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        let packet = long(family, method, 0x5101);
        for (number, part) in fragments(&packet).into_iter().enumerate() {
            let fate = Fate::tx(&forwarded(&part, family, method));
            let sentence = format!("fragment {number}, IPv{family} by {method:?}");
            check(&world, &sentence, &part.frame(), method.reason(), fate);
        }
        let [_, later, _] = fragments(&long(family, method, 0x5102));
        let sentence = "a fragment whose first one was not seen yet";
        let frame = later.frame();
        let (reason, fate) = (Reason::FragmentHeld, Fate::Drop);
        check(&world, sentence, &frame, reason, fate);
        let [first, later, _] = fragments(&long(family, method, 0x5103));
        let fate = Fate::tx(&forwarded(&first, family, method));
        check(&world, "the first", &first.frame(), method.reason(), fate);
        let late = Packet { hops: 1, ..later };
        let sentence = "a later fragment is not answered";
        let frame = late.frame();
        check(&world, sentence, &frame, Reason::Unanswerable, Fate::Drop);
    }
}

#[test]
fn fragments_that_hide_the_ports_are_dropped() {
    let Some(world) = world() else { return };
    for family in FAMILIES {
        for (protocol, length) in [(Protocol::Tcp, 16), (Protocol::Tcp, 8), (Protocol::Sctp, 8)] {
            let packet = Packet {
                fragment: Some(Fragment {
                    offset: 0,
                    length: Some(length),
                }),
                ..request(family, Method::Direct, opening(protocol))
            };
            let sentence = format!("{length} bytes of {protocol:?} over IPv{family}");
            let frame = packet.frame();
            check(
                &world,
                &sentence,
                &frame,
                Reason::FragmentOverlap,
                Fate::Drop,
            );
        }
    }
    let overlapping = Packet {
        fragment: Some(Fragment {
            offset: 8,
            length: None,
        }),
        ..request(4, Method::Direct, opening(Protocol::Tcp))
    };
    let sentence = "RFC 1858: a fragment over the flags of the first one";
    let frame = overlapping.frame();
    check(
        &world,
        sentence,
        &frame,
        Reason::FragmentOverlap,
        Fate::Drop,
    );
}

#[test]
fn nat_drops_fragments_of_sctp() {
    let Some(world) = world() else { return };
    for family in FAMILIES {
        let packet = Packet {
            fragment: Some(Fragment {
                offset: 0,
                length: Some(24),
            }),
            ..request(family, Method::Nat, opening(Protocol::Sctp))
        };
        let sentence = "its checksum covers what is in other fragments";
        let frame = packet.frame();
        check(&world, sentence, &frame, Reason::NatImpossible, Fate::Drop);
    }
}
