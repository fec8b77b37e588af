//! Whatever comes, the director answers with a verdict and leaves frames and tables whole.

use lvs_common::abi::{Config, Method, Pick};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason, Verdict};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::frames::{ACK, Draft, FIN, RST, SYN, at};
use super::memory::{Director, INTERFACE};

const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
const METHODS: [Method; 4] = [Method::Nat, Method::Local, Method::Tunnel, Method::Direct];

/// One small director with a service for every protocol, family and method, and for tunnels that carry one
/// family inside the other.
fn director() -> Director {
    let mut director = Director::with_sets(2);
    director.know_vlans(INTERFACE, &[1, 2]);
    director.know_vlans(INTERFACE, &[3, 4]);
    for protocol in PROTOCOLS {
        let (real4, real6) = ("10.0.0.1", "[2001:db8:2::1]");
        for (virtual_address, real, other) in [
            ("192.0.2.1", real4, real6),
            ("[2001:db8:1::1]", real6, real4),
        ] {
            let alike = METHODS.map(|method| (method, real));
            let servers = alike.into_iter().chain([(Method::Tunnel, other)]);
            for (port, (method, real)) in (80..).zip(servers) {
                let service = director.serve(
                    protocol,
                    at(&format!("{virtual_address}:{port}")),
                    Pick::Rotate,
                );
                director.add(service, at(&format!("{real}:80{port}")), method, 1);
            }
        }
    }
    director
}

/// A valid frame of any kind: either direction, fragments and errors about others included.
fn draft() -> impl Strategy<Value = Draft> {
    let ends = select(vec![
        ("198.51.100.7:40000", "192.0.2.1:8", "10.0.0.1:808"),
        (
            "[2001:db8:c::7]:40000",
            "[2001:db8:1::1]:8",
            "[2001:db8:2::1]:808",
        ),
    ]);
    let kind = (
        0_u8..4,
        any::<bool>(),
        select(vec![SYN, ACK, FIN, RST]),
        select(vec![0_u8, 1, 2, 7, 10]),
    );
    let rest = (
        0_usize..1600,
        select(vec![0_u8, 1, 2, 64]),
        prop::option::of((0_usize..3, 8_usize..24)),
    );
    (
        ends,
        0_u8..5,
        kind,
        rest,
        any::<bool>(),
        prop::collection::vec(0_u16..6, 0..3),
    )
        .prop_map(
            |(
                (client, to, real),
                port,
                (kind, back, flags, chunk),
                (size, ttl, piece),
                error,
                tags,
            )| {
                let (to, real) = (format!("{to}{port}"), format!("{real}{port}"));
                let (from, to) = if back {
                    (real.as_str(), client)
                } else {
                    (client, to.as_str())
                };
                let draft = match kind {
                    0 => Draft::udp(from, to),
                    1 => Draft::sctp(from, to, chunk),
                    _ => Draft::tcp(from, to, flags),
                };
                let mut draft = draft.sized(size.max(64)).with(|draft| {
                    (draft.ttl, draft.tags) = (ttl, tags);
                    draft.fragment = piece.map(|(offset, length)| (offset * 8, length & !7));
                });
                if error {
                    let v4 = draft.from.is_ipv4();
                    let mut about = draft.packet();
                    about.truncate(88);
                    let kind = if v4 { (3, 4, 1400) } else { (2, 0, 1400) };
                    let tags = draft.tags.clone();
                    draft = Draft::icmp(to, from, kind, about).with(|draft| draft.tags = tags);
                }
                draft
            },
        )
}

/// Bytes to change: where, and to what.
fn damage() -> impl Strategy<Value = Vec<(Index, u8)>> {
    prop::collection::vec((any::<Index>(), any::<u8>()), 0..6)
}

/// Whatever is true of every frame that was handled.
fn check(director: &Director, frame: &[u8]) -> Result<(), TestCaseError> {
    let (verdict, after) = director.handle(frame);
    let reason = verdict.reason();
    prop_assert!(reason.is_some());
    match verdict.action() {
        Action::Pass => prop_assert_eq!(frame, &after[..], "changed, then passed: {:?}", reason),
        Action::Drop => {}
        Action::Neighbour { .. } => prop_assert!(false, "nobody asked for it"),
        Action::Transmit | Action::Redirect { .. } => {
            // Two tags more than it had, and the larger outer header.
            prop_assert!(after.len() <= frame.len() + 8 + 48, "{reason:?}");
            prop_assert!(after.len() >= 14 + 20);
        }
    }
    let (mut active, mut inactive) = (0, 0);
    for server in 0..u32::try_from(director.servers.len()).expect("few") {
        let (more, others) = director.connections(server);
        active += more;
        inactive += others;
    }
    prop_assert_eq!((active + inactive) as usize, director.states().len());
    Ok(())
}

/// The end of a packet, one reason in the place of two: where addresses are none of the director's and the VLAN is
/// nobody's, either is found first.
fn of_no_business((verdict, frame): (Verdict, Vec<u8>)) -> (Verdict, Vec<u8>) {
    if verdict == Verdict::pass(Reason::OtherHost) {
        return (Verdict::pass(Reason::NotOurs), frame);
    }
    (verdict, frame)
}

#[test]
fn a_length_that_lies_is_a_lie_on_the_short_way_too() {
    let (short, long) = (director(), director());
    for (from, to, place) in [
        ("198.51.100.7:40000", "192.0.2.1:83", 16),
        ("[2001:db8:c::7]:40000", "[2001:db8:1::1]:83", 18),
    ] {
        for flags in [SYN, ACK] {
            let frame = Draft::tcp(from, to, flags).frame();
            assert_eq!(short.handle(&frame), long.handle_by_stages(&frame));
            for length in 0..200_u16 {
                let mut lying = frame.clone();
                lying[place..place + 2].copy_from_slice(&length.to_be_bytes());
                let (said, expected) = (short.handle(&lying), long.handle_by_stages(&lying));
                assert_eq!(said, expected, "{length}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_get_a_verdict(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..8),
        ethertype in select(vec![[8_u8, 0], [0x86, 0xdd], [0x81, 0]]),
    ) {
        let director = director();
        for mut frame in frames {
            check(&director, &frame)?;
            if frame.len() > 14 {
                frame[12..14].copy_from_slice(&ethertype);
                frame[14] = if ethertype == [8, 0] { 0x45 } else { 0x60 };
                check(&director, &frame)?;
            }
        }
    }

    /// The fast path does what the stages would do, or leaves a packet to them.
    #[test]
    fn the_short_way_and_the_stages_agree(
        drafts in prop::collection::vec((draft(), damage(), 0_u32..40), 1..40),
        spread in any::<bool>(),
        long_indexes in any::<bool>(),
    ) {
        let (mut short, mut long) = (director(), director());
        (short.long_indexes, long.long_indexes) = (long_indexes, long_indexes);
        if spread {
            short.options = Config::RSS_SOURCE;
            long.options = Config::RSS_SOURCE;
        }
        for (draft, damage, seconds) in drafts {
            let mut frames = vec![draft.frame(), draft.frame()];
            if let Some(frame) = frames.last_mut() {
                for (place, byte) in damage {
                    let place = place.index(frame.len().min(80));
                    frame[place] = byte;
                }
            }
            frames.push(draft.frame());
            for frame in frames {
                let end = short.handle(&frame);
                prop_assert_eq!(of_no_business(end), of_no_business(long.handle_by_stages(&frame)));
            }
            prop_assert_eq!(short.states(), long.states());
            short.pass_time(seconds);
            long.pass_time(seconds);
        }
        for server in 0..u32::try_from(short.servers.len()).expect("few") {
            prop_assert_eq!(short.connections(server), long.connections(server));
            prop_assert_eq!(short.stats(server), long.stats(server));
        }
    }

    #[test]
    fn damaged_frames_get_a_verdict(
        drafts in prop::collection::vec((draft(), damage(), prop::option::of(any::<Index>())), 1..12),
    ) {
        let director = director();
        for (draft, damage, cut) in drafts {
            let mut frame = draft.frame();
            check(&director, &frame)?;
            for (place, byte) in damage {
                // Headers are where damage matters.
                let place = place.index(frame.len().min(120));
                frame[place] = byte;
            }
            if let Some(cut) = cut {
                frame.truncate(cut.index(frame.len()));
            }
            check(&director, &frame)?;
        }
    }
}
