//! Frames that end too early, and headers that lie. The program is never aborted, reads nothing
//! behind the packet and counts each frame once.

use std::panic::Location;

use lvs_common::verdict::Reason;
use lvs_tests::frames::{Content, Fragment, Packet};
use lvs_tests::object::{Action, INTERFACE, Object};
use lvs_tests::pairs;

use crate::BUFFERS;
use crate::world::{
    FAMILIES, Fate, METHODS, Method, PROTOCOLS, Protocol, check, forwarded, opening, request, world,
};

/// Frames of every shape that the director forwards.
fn valid() -> Vec<Packet> {
    let mut all = Vec::new();
    for family in FAMILIES {
        for (method, protocol) in pairs(METHODS, PROTOCOLS) {
            let packet = request(family, method, opening(protocol));
            all.push(Packet {
                tags: vec![0x0064, 0x0007],
                ..packet.clone()
            });
            all.push(if family == 4 {
                Packet {
                    options: vec![1; 8],
                    ..packet.clone()
                }
            } else {
                Packet {
                    extensions: vec![(0, vec![0; 7]), (60, [&[1][..], &[0; 14]].concat())],
                    fragment: Some(Fragment {
                        offset: 0,
                        length: None,
                    }),
                    ..packet.clone()
                }
            });
            all.push(packet);
        }
    }
    all
}

#[test]
fn a_frame_cut_short_anywhere_is_dropped() {
    let Some(world) = world() else { return };
    for packet in valid() {
        let frame = packet.frame();
        // The kernel runs no program on less than an Ethernet header.
        for length in 14..frame.len() {
            if !runs_on(&frame[..length]) {
                continue;
            }
            let sentence = format!("{length} of {} bytes of {packet:?}", frame.len());
            check(
                &world,
                &sentence,
                &frame[..length],
                Reason::Truncated,
                Fate::Drop,
            );
        }
    }
}

/// Returns whether the kernel runs the program on a frame: for socket buffers it looks at the header of a packet first.
fn runs_on(frame: &[u8]) -> bool {
    let least = match frame.get(12..14) {
        Some([0x08, 0x00]) => 20,
        Some([0x86, 0xdd]) => 40,
        _ => 1,
    };
    !BUFFERS || frame.len() >= 14 + least
}

/// The verdict and the action of a frame about which nothing else is known.
#[track_caller]
fn verdict(world: &Object, frame: &[u8]) -> (Reason, Action) {
    let before = world.verdicts();
    let end = world.run(INTERFACE, frame).unwrap();
    let after = world.verdicts();
    let counted: Vec<Reason> = Reason::ALL
        .iter()
        .zip(before.iter().zip(&after))
        .flat_map(|(reason, (before, after))| (*before..*after).map(|_| *reason))
        .collect();
    let [reason] = counted[..] else {
        panic!("{}: counted {counted:?}", Location::caller());
    };
    assert_ne!(end.action, Action::Aborted, "{reason:?}");
    let prefix = reason.name().split('-').next().unwrap_or_default();
    let fits = match end.action {
        Action::Pass => prefix == "pass",
        // What is held comes again.
        Action::Drop => matches!(prefix, "drop" | "hold"),
        Action::Tx | Action::Redirect => matches!(prefix, "forward" | "answer"),
        Action::Aborted => false,
    };
    assert!(fits, "{reason:?} and {:?}", end.action);
    (reason, end.action)
}

#[test]
fn packets_with_false_lengths_are_dropped() {
    let Some(world) = world() else { return };
    for method in METHODS {
        let frame = request(4, method, opening(Protocol::Tcp)).frame();
        for length in 0..=200_u16 {
            let mut lying = frame.clone();
            lying[16..18].copy_from_slice(&length.to_be_bytes());
            let expected = match length {
                0..20 => Reason::BadLength,
                40 => continue,
                _ => Reason::Truncated,
            };
            let sentence = format!("total length {length} instead of 40");
            check(&world, &sentence, &lying, expected, Fate::Drop);
        }
        for words in 0..16_u8 {
            let mut lying = frame.clone();
            lying[14] = 0x40 | words;
            let expected = match words {
                0..5 | 11.. => Reason::BadLength,
                5 => continue,
                _ => Reason::Truncated,
            };
            let sentence = format!("header length {words} words instead of 5");
            check(&world, &sentence, &lying, expected, Fate::Drop);
        }
        let frame = request(6, method, opening(Protocol::Tcp)).frame();
        for length in 0..=200_u16 {
            let mut lying = frame.clone();
            lying[18..20].copy_from_slice(&length.to_be_bytes());
            if length != 20 {
                let sentence = format!("payload length {length} instead of 20");
                check(&world, &sentence, &lying, Reason::Truncated, Fate::Drop);
            }
        }
    }
    for (family, offset) in [(4, 14), (6, 14)] {
        let frame = request(family, Method::Direct, opening(Protocol::Udp)).frame();
        for version in 0..16_u8 {
            let mut lying = frame.clone();
            lying[offset] = version << 4 | lying[offset] & 15;
            if version != family {
                let sentence = format!("version {version} instead of {family}");
                check(&world, &sentence, &lying, Reason::BadLength, Fate::Drop);
            }
        }
    }
}

#[test]
fn an_extension_header_that_reaches_beyond_the_packet_is_dropped() {
    let Some(world) = world() else { return };
    for words in 0..=255_u8 {
        let packet = Packet {
            extensions: vec![(60, [&[words][..], &[0; 6]].concat())],
            ..request(6, Method::Direct, opening(Protocol::Udp))
        };
        let length = 40 + 8 * (usize::from(words) + 1);
        // 25 bytes of UDP follow the eight of the header.
        let expected = match words {
            0 => {
                let fate = Fate::tx(&forwarded(&packet, 6, Method::Direct));
                check(
                    &world,
                    "a header that fits",
                    &packet.frame(),
                    Reason::Direct,
                    fate,
                );
                continue;
            }
            // What then looks like ports may be anybody's.
            _ if length + 8 <= 40 + 8 + 25 => {
                verdict(&world, &packet.frame());
                continue;
            }
            _ if length <= 40 + 8 + 25 => Reason::Truncated,
            _ if 14 + length > 511 => Reason::HeaderChain,
            _ => Reason::BadLength,
        };
        let sentence = format!("an extension header of {} words", u16::from(words) + 1);
        check(&world, &sentence, &packet.frame(), expected, Fate::Drop);
    }
}

#[test]
fn random_bytes_never_abort_the_program() {
    let Some(world) = world() else { return };
    // xorshift, so that a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap_or(0) % below
    };
    let mut frames: Vec<Vec<u8>> = valid().iter().map(Packet::frame).collect();
    for family in FAMILIES {
        let quoted = request(family, Method::Nat, opening(Protocol::Udp));
        let error = Packet {
            source: quoted.destination,
            destination: quoted.source,
            content: Content::Icmp {
                kind: 3,
                code: 3,
                rest: 0,
                data: quoted.ip(),
            },
            ..quoted
        };
        frames.push(error.frame());
    }
    for _ in 0..10_000 {
        let mut frame = frames[random(frames.len())].clone();
        for _ in 0..=random(4) {
            let place = 12 + random(frame.len() - 12);
            frame[place] = [0, 1, 0x7f, 0x80, 0xff, u8::try_from(random(256)).unwrap()][random(6)];
        }
        frame.truncate(14 + random(frame.len() - 13));
        if runs_on(&frame) {
            verdict(&world, &frame);
        }
    }
}
