//! Super-packets: many packets of one TCP connection in one socket buffer.

use lvs_common::abi::{Method, Pick};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason};

use super::frames::{ACK, Draft, SYN, at};
use super::memory::Director;
use super::packet::Frame;

const FAMILIES: [(&str, &str, &str); 2] = [
    ("198.51.100.7:40000", "192.0.2.1:80", "10.0.0.1:8080"),
    (
        "[2001:db8:c::7]:40000",
        "[2001:db8:1::1]:80",
        "[2001:db8:2::1]:8080",
    ),
];

fn director(virtual_address: &str, real: &str, method: Method) -> Director {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at(virtual_address), Pick::Rotate);
    director.add(service, at(real), method, 1);
    director
}

/// A super-packet of three segments of so many bytes, the last one with ten.
fn super_packet(from: &str, to: &str, segment: usize) -> Frame {
    let frame = Draft::tcp(from, to, ACK).sized(2 * segment + 10).frame();
    let mut frame = Frame::new(&frame);
    (frame.segment, frame.packets) = (u32::try_from(segment).expect("small"), 3);
    frame
}

#[test]
fn a_super_packet_goes_whole_where_its_segments_fit_and_counts_as_they_do() {
    for (from, to, real) in FAMILIES {
        let headers: u64 = if from.starts_with('[') { 60 } else { 40 };
        for method in [Method::Direct, Method::Nat, Method::Tunnel] {
            let director = director(to, real, method);
            director.handle(&Draft::tcp(from, to, SYN).frame());
            // The second one takes the fast path.
            director.handle(&Draft::tcp(from, to, ACK).frame());
            let before = director.stats(0);
            let segment = 1500 - usize::try_from(headers).expect("small");
            let mut packet = super_packet(from, to, segment);
            let verdict = director.forward(&mut packet);
            assert_eq!(verdict.action(), Action::Transmit, "{verdict:?} {method:?}");
            let traffic = director.stats(0).since(&before);
            assert_eq!(traffic.in_packets, 3);
            assert_eq!(traffic.in_bytes, 3 * headers + 2 * segment as u64 + 10);
            if method == Method::Tunnel {
                assert!(
                    (packet.segment as usize) < segment,
                    "the outer header needs room"
                );
            }
        }
    }
}

#[test]
fn a_super_packet_of_segments_that_are_too_long_is_answered_like_one_of_them() {
    for (from, to, real) in FAMILIES {
        for method in [Method::Direct, Method::Nat, Method::Tunnel] {
            let director = director(to, real, method);
            director.handle(&Draft::tcp(from, to, SYN).frame());
            let mut packet = super_packet(from, to, 1470);
            let verdict = director.forward(&mut packet);
            assert_eq!(verdict.reason(), Some(Reason::TooBig), "{method:?}");
            assert_eq!(packet.segment, 0, "the answer is one packet");
        }
    }
}

#[test]
fn a_super_packet_may_be_too_long_for_its_length_field() {
    for (from, to, real) in FAMILIES {
        let director = director(to, real, Method::Direct);
        director.handle(&Draft::tcp(from, to, SYN).frame());
        let before = director.stats(0);
        let mut frame = Draft::tcp(from, to, ACK).sized(70_000).frame();
        let (place, headers) = if from.starts_with('[') {
            (18, 60)
        } else {
            (16, 40)
        };
        frame[place..place + 2].fill(0);
        let mut packet = Frame::new(&frame);
        (packet.segment, packet.packets) = (1_400, 50);
        let verdict = director.forward(&mut packet);
        assert_eq!(verdict.action(), Action::Transmit, "{verdict:?}");
        let traffic = director.stats(0).since(&before);
        assert_eq!(traffic.in_packets, 50);
        assert_eq!(traffic.in_bytes, 50 * headers + 70_000);
    }
}
