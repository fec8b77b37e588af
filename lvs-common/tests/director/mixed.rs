//! Where some ways out cannot transmit XDP frames: the fast path sends by the others, and leaves everything else as it
//! came.

use lvs_common::abi::{Config, Hop, Interface, Method, Pick};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason, Verdict};

use super::frames::{ACK, Draft, SYN, at};
use super::memory::{Director, INTERFACE};

const CLIENT: &str = "198.51.100.7:40000";
const VIRTUAL: &str = "192.0.2.1:80";
const REAL: &str = "10.0.0.1:8080";

fn director(method: Method, transmits: bool) -> Director {
    let mut director = Director::new();
    director.config.options = Config::MIXED;
    for hop in &mut director.hops {
        hop.flags = if transmits { Hop::XDP } else { 0 };
    }
    let service = director.serve(Protocol::Tcp, at(VIRTUAL), Pick::Rotate);
    director.add(service, at(REAL), method, 1);
    director
}

/// Handles a frame that has to come out as it came, uncounted.
fn left(director: &Director, frame: &[u8]) {
    let (verdict, after) = director.handle(frame);
    assert_eq!(verdict, Verdict::pass(Reason::LeftToTc));
    assert!(!verdict.is_counted());
    assert_eq!(after, frame);
}

/// Begins the connection as the other program would.
fn begin(director: &Director) {
    director.handle_by_stages(&Draft::tcp(CLIENT, VIRTUAL, SYN).frame());
    director.handle_by_stages(&Draft::tcp(REAL, CLIENT, SYN | ACK).frame());
    director.handle_by_stages(&Draft::tcp(CLIENT, VIRTUAL, ACK).frame());
}

#[test]
fn packets_go_by_ways_out_that_transmit_frames_and_by_no_others() {
    for method in [Method::Direct, Method::Nat, Method::Tunnel] {
        for flags in [SYN, ACK] {
            let frame = Draft::tcp(CLIENT, VIRTUAL, flags).frame();
            let (able, unable) = (director(method, true), director(method, false));
            if flags == ACK {
                begin(&able);
                begin(&unable);
            }
            let (verdict, _) = able.handle(&frame);
            assert_eq!(verdict.action(), Action::Transmit, "{verdict:?}");
            let before = (unable.states(), unable.stats(0));
            left(&unable, &frame);
            assert_eq!(before, (unable.states(), unable.stats(0)));
        }
    }
}

#[test]
fn a_reply_goes_to_a_client_whose_interface_transmits_frames() {
    for transmits in [false, true] {
        let mut director = director(Method::Nat, true);
        if transmits {
            director.set_flags(INTERFACE, Interface::SENDS_XDP);
        }
        begin(&director);
        let frame = Draft::tcp(REAL, CLIENT, ACK).frame();
        if transmits {
            let (verdict, _) = director.handle(&frame);
            assert_eq!(verdict, Verdict::transmit(Reason::NatReply));
        } else {
            left(&director, &frame);
        }
    }
}

#[test]
fn what_the_fast_path_does_not_handle_or_passes_on_is_left() {
    let director = director(Method::Direct, true);
    for draft in [
        Draft::tcp(CLIENT, VIRTUAL, SYN).with(|draft| draft.tags = vec![7]),
        Draft::tcp(CLIENT, VIRTUAL, SYN).with(|draft| draft.ttl = 1),
        Draft::tcp(CLIENT, VIRTUAL, SYN).with(|draft| draft.options = vec![1; 4]),
        Draft::tcp(CLIENT, VIRTUAL, ACK),
        Draft::tcp(CLIENT, "203.0.113.5:80", SYN),
    ] {
        left(&director, &draft.frame());
    }
    let mut arp = vec![0; 42];
    arp[12..14].copy_from_slice(&[8, 6]);
    left(&director, &arp);
}
