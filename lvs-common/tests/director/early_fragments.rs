//! A later fragment before the first one: frames can be held for a moment.

use lvs_common::abi::{Method, Pick};
use lvs_common::connection::{Ports, Protocol};
use lvs_common::forward::stages;
use lvs_common::verdict::{Action, Reason};

use super::frames::{Draft, at};
use super::memory::Director;
use super::packet::Frame;
use super::stale_workspace;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const REAL: [&str; 2] = ["10.0.0.1:80", "[2001:db8:2::1]:80"];

#[test]
fn a_later_fragment_that_comes_first_is_held_until_it_is_given_up() {
    for family in 0..2 {
        let mut director = Director::new();
        let service = director.serve(Protocol::Udp, at(VIRTUAL[family]), Pick::Rotate);
        director.add(service, at(REAL[family]), Method::Direct, 1);
        let datagram = Draft::udp(CLIENT[family], VIRTUAL[family]).sized(32);
        let piece = |fragment| {
            datagram
                .clone()
                .with(|draft| draft.fragment = Some(fragment))
        };
        let (first, later) = (piece((0, 16)), piece((16, 16)));
        let handle = || {
            let mut frame = Frame::new(&later.frame());
            frame.holder = Some(0);
            let verdict = stages(&mut frame, &director, &mut stale_workspace::stale());
            (verdict, frame.holder)
        };
        let (verdict, held) = handle();
        assert_eq!((verdict.action(), held), (Action::Drop, Some(1)));
        assert_eq!(verdict.reason(), Some(Reason::FragmentHeld));
        // The first one comes: when it is sent again it is forwarded.
        assert!(director.handle(&first.frame()).0.is_forwarded());
        let (verdict, held) = handle();
        assert!(verdict.is_forwarded() && held == Some(0), "{verdict:?}");
        // It does not come: the daemon says so, and the fragment is the kernel's.
        director.forget_fragments(Ports::default());
        let (verdict, held) = handle();
        assert_eq!((verdict.action(), held), (Action::Pass, Some(0)));
        assert_eq!(verdict.reason(), Some(Reason::StrayFragment));
    }
}

#[test]
fn what_is_too_big_and_may_be_fragmented_is_handed_over() {
    for family in 0..2 {
        let mut director = Director::new();
        let service = director.serve(Protocol::Udp, at(VIRTUAL[family]), Pick::Rotate);
        director.add(service, at(REAL[family]), Method::Direct, 1);
        director.hops[1].mtu = 1400;
        for (dont_fragment, holder) in [(false, Some(0)), (true, Some(0)), (false, None)] {
            let draft = Draft::udp(CLIENT[family], VIRTUAL[family])
                .sized(1400)
                .with(|draft| draft.dont_fragment = dont_fragment);
            let mut frame = Frame::new(&draft.frame());
            frame.holder = holder;
            let verdict = stages(&mut frame, &director, &mut stale_workspace::stale());
            let handed_over = family == 0 && !dont_fragment && holder.is_some();
            let reason = if handed_over {
                Reason::TooBigHeld
            } else {
                Reason::TooBig
            };
            assert_eq!(verdict.reason(), Some(reason));
            assert_eq!(frame.holder.unwrap_or(0), u32::from(handed_over));
        }
    }
}
