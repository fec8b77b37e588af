//! Events for replication, and frames for other machines.

use lvs_common::abi::{Method, Pick, Sync};
use lvs_common::connection::Protocol;
use lvs_common::verdict::Reason;
use proptest::prelude::*;

use super::frames::{ACK, CLIENT, DIRECTOR, Draft, FIN, RST, SERVER, SYN, at};
use super::memory::Director;

const VIRTUAL: &str = "192.0.2.10:80";
const HOST: &str = "198.51.100.7:40000";

fn director(protocol: Protocol, method: Method, threshold: u32, period: u32) -> Director {
    let mut director = Director::new();
    let service = director.serve(protocol, at(VIRTUAL), Pick::Rotate);
    director.add(service, at("10.0.0.3:8080"), method, 1);
    director.config.sync = Sync {
        on: 1,
        threshold,
        repeats: Sync::every(period),
    };
    director
}

proptest! {
    #[test]
    fn it_is_due_as_a_division_would_say(
        threshold in any::<u32>(),
        period in prop_oneof![0..100_u32, any::<u32>()],
        times in 0..1_000_u32,
        off in prop_oneof![4 => Just(0), 1 => any::<u32>()],
    ) {
        let threshold = if period == 0 { threshold } else { threshold % period };
        let sync = Sync { on: 1, threshold, repeats: Sync::every(period) };
        let turn = times.wrapping_mul(period).wrapping_add(threshold).wrapping_add(off);
        for packets in [turn.wrapping_sub(1), turn, turn.wrapping_add(1), threshold, 0, 1, u32::MAX] {
            let divided = if period == 0 { packets } else { packets % period };
            prop_assert_eq!(sync.is_due(packets), packets != 0 && divided == threshold, "{}", packets);
        }
    }
}

/// How many events each of the frames causes.
fn events(director: &Director, frames: &[Vec<u8>]) -> Vec<usize> {
    let count = || director.events.lock().unwrap().len();
    frames
        .iter()
        .map(|frame| {
            let before = count();
            director.handle(frame);
            count() - before
        })
        .collect()
}

fn segments(flags: &[u8]) -> Vec<Vec<u8>> {
    flags
        .iter()
        .map(|&flags| Draft::tcp(HOST, VIRTUAL, flags).frame())
        .collect()
}

#[test]
fn a_connection_is_told_at_its_third_packet_and_again_each_period() {
    let director = director(Protocol::Tcp, Method::Direct, 3, 5);
    let mut flags = vec![ACK; 14];
    flags[0] = SYN;
    let expected = [0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];
    assert_eq!(events(&director, &segments(&flags)), expected);
    let events = director.events.lock().unwrap();
    assert!(
        events
            .iter()
            .all(|event| *event == events[0] && event.number() != 0)
    );
}

#[test]
fn the_fast_path_emits_the_events_that_the_stages_emit() {
    for (threshold, period) in [(3, 7), (0, 4), (1, 2), (5, 0), (0, 1)] {
        let [short, long] =
            [(); 2].map(|()| director(Protocol::Udp, Method::Nat, threshold, period));
        let frame = Draft::udp(HOST, VIRTUAL).frame();
        for packets in 1..=60 {
            short.handle(&frame);
            long.handle_by_stages(&frame);
            let counts = [&short, &long].map(|director| director.events.lock().unwrap().len());
            assert_eq!(
                counts[0], counts[1],
                "{packets} packets, {threshold} {period}"
            );
        }
        assert!(!long.events.lock().unwrap().is_empty());
    }
}

#[test]
fn a_connection_that_is_established_late_is_told_then() {
    let director = director(Protocol::Tcp, Method::Direct, 3, 50);
    let frames = segments(&[SYN, SYN, SYN, SYN, ACK, ACK]);
    assert_eq!(events(&director, &frames), [0, 0, 0, 0, 1, 0]);
}

#[test]
fn without_a_period_it_is_told_once_and_switched_off_never() {
    let mut director = director(Protocol::Tcp, Method::Direct, 3, 0);
    let frames = segments(&[SYN, ACK, ACK, ACK, ACK, ACK, ACK]);
    assert_eq!(events(&director, &frames), [0, 0, 1, 0, 0, 0, 0]);
    director.config.sync.on = 0;
    assert_eq!(events(&director, &segments(&[FIN, RST])), [0, 0]);
}

#[test]
fn a_connection_that_closes_is_told_at_once() {
    let director = director(Protocol::Tcp, Method::Direct, 3, 50);
    assert_eq!(
        events(&director, &segments(&[SYN, ACK, FIN, FIN])),
        [0, 0, 1, 0]
    );
    // A SYN flood, reset or not, causes no event but for what closes.
    let other = Draft::tcp("198.51.100.8:1", VIRTUAL, SYN).frame();
    assert_eq!(events(&director, &vec![other; 9]), [0; 9]);
}

#[test]
fn a_server_that_closes_a_nat_connection_causes_an_event() {
    let director = director(Protocol::Tcp, Method::Nat, 3, 50);
    assert_eq!(events(&director, &segments(&[SYN, ACK])), [0, 0]);
    let mut reply = Draft::tcp("10.0.0.3:8080", HOST, ACK);
    reply.macs = (DIRECTOR, SERVER);
    assert_eq!(events(&director, &[reply.frame()]), [0]);
    let mut closing = Draft::tcp("10.0.0.3:8080", HOST, FIN);
    closing.macs = (DIRECTOR, SERVER);
    assert_eq!(events(&director, &[closing.frame()]), [1]);
}

#[test]
fn datagrams_are_counted_alike() {
    let director = director(Protocol::Udp, Method::Direct, 3, 4);
    let frames = vec![Draft::udp(HOST, VIRTUAL).frame(); 8];
    assert_eq!(events(&director, &frames), [0, 0, 1, 0, 0, 0, 1, 0]);
}

#[test]
fn a_plain_packet_for_another_machine_is_left_alone_too() {
    let mut director = director(Protocol::Tcp, Method::Direct, 3, 50);
    director.own(&[DIRECTOR]);
    let reason = |frame: &Draft| director.handle(&frame.frame()).0.reason();
    let mut draft = Draft::tcp(HOST, VIRTUAL, SYN);
    assert_eq!(reason(&draft), Some(Reason::Direct));
    draft.payload = Draft::tcp(HOST, VIRTUAL, ACK).payload;
    assert_eq!([reason(&draft), reason(&draft)], [Some(Reason::Direct); 2]);
    draft.macs.0 = [2, 0, 0, 0, 0, 0xee];
    assert_eq!(reason(&draft), Some(Reason::OtherHost));
}

#[test]
fn a_frame_for_another_machine_is_none_of_this_directors() {
    let mut director = director(Protocol::Udp, Method::Direct, 3, 4);
    let frame = Draft::udp(HOST, VIRTUAL).frame();
    let mut other = Draft::udp(HOST, VIRTUAL);
    other.macs = ([2, 0, 0, 0, 0, 0xee], CLIENT);
    let other = other.frame();
    let reason = |director: &Director, frame: &[u8]| director.handle(frame).0.reason();
    assert_eq!(
        reason(&director, &other),
        Some(Reason::Direct),
        "nobody knows better"
    );
    director.own(&[SERVER, DIRECTOR]);
    assert_eq!(reason(&director, &other), Some(Reason::OtherHost));
    assert_eq!(reason(&director, &frame), Some(Reason::Direct));
    let mut group = Draft::udp(HOST, VIRTUAL);
    group.macs = ([3, 0, 0, 0, 0, 0xee], CLIENT);
    assert_eq!(reason(&director, &group.frame()), Some(Reason::GroupFrame));
}
