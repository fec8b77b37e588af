//! Devices without link header, and whom a packet is for.

use lvs_common::abi::{Method, Pick};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason};

use super::frames::{ACK, CLIENT, DIRECTOR, Draft, SYN, at};
use super::memory::{Director, INTERFACE};
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

/// What becomes of a frame that comes by a device without link header: its bytes as they leave.
fn handle(director: &Director, frame: &[u8]) -> (Option<Reason>, Vec<u8>) {
    let mut packet = Frame::new(frame);
    packet.take_link_off();
    let verdict = director.forward_by_stages(&mut packet);
    (verdict.reason(), packet.bytes())
}

#[test]
fn what_comes_without_a_link_header_leaves_with_one_and_is_the_same_otherwise() {
    for (from, to, real) in FAMILIES {
        for method in [Method::Direct, Method::Nat, Method::Tunnel] {
            let (plain, bare) = (director(to, real, method), director(to, real, method));
            for flags in [SYN, ACK] {
                let frame = Draft::tcp(from, to, flags).frame();
                let (verdict, expected) = plain.handle_by_stages(&frame);
                let (reason, sent) = handle(&bare, &frame);
                assert_eq!((reason, sent), (verdict.reason(), expected), "{method:?}");
            }
        }
    }
}

#[test]
fn answers_go_back_by_a_device_without_link_header() {
    for (from, to, real) in FAMILIES {
        let (plain, bare) = (
            director(to, real, Method::Direct),
            director(to, real, Method::Direct),
        );
        let frame = Draft::tcp(from, to, SYN)
            .with(|draft| draft.ttl = 1)
            .frame();
        let (_, expected) = plain.handle_by_stages(&frame);
        let (reason, sent) = handle(&bare, &frame);
        assert_eq!(reason, Some(Reason::TimeExceeded));
        assert_eq!(sent[..12], [0; 12], "there is nobody to address");
        assert_eq!(sent[12..40], expected[12..40]);
    }
}

#[test]
fn what_is_not_for_a_virtual_address_stays_without_a_link_header() {
    let director = director(FAMILIES[0].1, FAMILIES[0].2, Method::Direct);
    let frame = Draft::tcp("198.51.100.7:40000", "203.0.113.9:80", SYN).frame();
    let (reason, sent) = handle(&director, &frame);
    assert_eq!((reason, &sent[..]), (Some(Reason::NotOurs), &frame[14..]));
}

#[test]
fn a_packet_that_the_kernel_says_is_for_another_host_is_left_alone() {
    for (from, to, real) in FAMILIES {
        let director = director(to, real, Method::Nat);
        let frame = Draft::tcp(from, to, SYN).frame();
        for (for_host, action) in [(false, Action::Pass), (true, Action::Transmit)] {
            let mut packet = Frame::new(&frame);
            packet.for_host = Some(for_host);
            let verdict = director.forward(&mut packet);
            assert_eq!(verdict.action(), action, "{verdict:?}");
            if !for_host {
                assert_eq!(verdict.reason(), Some(Reason::OtherHost));
                assert_eq!(packet.bytes(), frame);
            }
        }
    }
}

/// The kernel compares with the port's own address; a bridge of several ports has that of one of them, or another.
#[test]
fn a_frame_for_the_bridge_that_its_port_belongs_to_is_not_another_hosts() {
    const BRIDGE: u32 = INTERFACE + 21;
    for (from, to, real) in FAMILIES {
        for (address, expected) in [(DIRECTOR, true), (CLIENT, false)] {
            let mut director = director(to, real, Method::Nat);
            director.put_upper(INTERFACE, 0, BRIDGE);
            director.set_flags(BRIDGE, 0);
            director.interfaces.get_mut(&BRIDGE).expect("set").mac = address;
            for flags in [SYN, ACK] {
                let mut packet = Frame::new(&Draft::tcp(from, to, flags).frame());
                packet.for_host = Some(false);
                let verdict = director.forward(&mut packet);
                assert_eq!(verdict.is_forwarded(), expected, "{verdict:?}");
            }
        }
    }
}
