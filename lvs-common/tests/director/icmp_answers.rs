//! ICMP errors that the director sends itself.

use std::sync::atomic::Ordering::SeqCst;

use lvs_common::abi::{Hop, Method, Pick, SourcePool};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason, Verdict};
use zerocopy::FromZeros as _;

use super::frames::{ACK, CLIENT, DIRECTOR, Draft, RST, SYN, at};
use super::memory::{Director, INTERFACE};

const FROM: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const TO: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const REAL: [&str; 2] = ["10.0.0.1:80", "[2001:db8:2::1]:80"];

fn director(family: usize, real: usize, method: Method) -> Director {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at(TO[family]), Pick::Rotate);
    director.add(service, at(REAL[real]), method, 1);
    director
}

/// The answer to a packet: from where it was sent to, with as much of it as may be quoted.
fn answer(about: &Draft, error: (u8, u8, u32)) -> Vec<u8> {
    let v4 = about.from.is_ipv4();
    let mut quoted = about.packet();
    let most = if v4 { 576 - 28 } else { 1280 - 48 };
    quoted.truncate(quoted.len().min(most) & !3);
    let (from, to) = (about.to.to_string(), about.from.to_string());
    let draft = Draft::icmp(&from, &to, error, quoted).with(|draft| {
        draft.macs = (CLIENT, DIRECTOR);
        draft.tags.clone_from(&about.tags);
        draft.dont_fragment = false;
        draft.identification = 0;
    });
    draft.frame()
}

#[track_caller]
fn answers(director: &Director, draft: &Draft, reason: Reason, error: (u8, u8, u32)) {
    let (verdict, after) = director.handle(&draft.frame());
    assert_eq!(
        (verdict.action(), verdict.reason()),
        (Action::Transmit, Some(reason))
    );
    assert_eq!(after, answer(draft, error));
}

fn syn(family: usize) -> Draft {
    Draft::tcp(FROM[family], TO[family], SYN)
}

#[test]
fn the_last_hop_is_answered_with_time_exceeded() {
    for method in [Method::Direct, Method::Nat, Method::Tunnel] {
        for (family, error) in [(0, (11, 0, 0)), (1, (3, 0, 0))] {
            for ttl in [0, 1] {
                for size in [0, 1, 2, 3, 500, 600, 1300] {
                    let draft = syn(family).sized(size).with(|draft| draft.ttl = ttl);
                    let mut director = director(family, family, method);
                    director.know_vlans(INTERFACE, &[3, 4]);
                    answers(&director, &draft, Reason::TimeExceeded, error);
                    let tagged = draft.with(|draft| draft.tags = vec![3, 4]);
                    answers(&director, &tagged, Reason::TimeExceeded, error);
                }
            }
        }
    }
}

#[test]
fn what_is_too_big_is_answered_with_the_mtu_that_fits() {
    for (family, real, method, mtu) in [
        (0, 0, Method::Direct, 1400),
        (1, 1, Method::Direct, 1400),
        (0, 0, Method::Nat, 1400),
        (1, 1, Method::Nat, 1400),
        (0, 0, Method::Tunnel, 1380),
        (0, 1, Method::Tunnel, 1360),
        (1, 0, Method::Tunnel, 1380),
        (1, 1, Method::Tunnel, 1360),
    ] {
        let mut director = director(family, real, method);
        director.hops[1].mtu = 1400;
        let headers = [40, 60][family];
        let fits = syn(family).sized(mtu - headers);
        let (verdict, after) = director.handle(&fits.frame());
        assert!(verdict.is_forwarded());
        assert!(after.len() <= 14 + 1400);
        let error = [(3, 4), (2, 0)][family];
        let fitting = u32::try_from(mtu).expect("small");
        let larger = syn(family).sized(mtu - headers + 1);
        answers(
            &director,
            &larger,
            Reason::TooBig,
            (error.0, error.1, fitting),
        );
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_said_so() {
    for (family, real, method) in [
        (0, 0, Method::Direct),
        (1, 1, Method::Direct),
        (0, 0, Method::Nat),
        (1, 1, Method::Nat),
        (0, 1, Method::Tunnel),
        (1, 0, Method::Tunnel),
    ] {
        let mut director = director(family, real, method);
        let error = [(3, 1, 0), (1, 3, 0)][family];
        let reachable = director.hops[1];
        let unreachable = Hop {
            flags: Hop::UNREACHABLE,
            ..Hop::new_zeroed()
        };
        director.hops[1] = unreachable;
        answers(&director, &syn(family), Reason::ServerUnreachable, error);
        // A known connection, too; and it goes on when the server is back.
        let ack = Draft::tcp(FROM[family], TO[family], ACK);
        answers(&director, &ack, Reason::ServerUnreachable, error);
        director.hops[1] = reachable;
        assert!(director.handle(&ack.frame()).0.is_forwarded());
        // The rate is that of all errors.
        director.hops[1] = unreachable;
        director.answers.store(0, SeqCst);
        let (verdict, _) = director.handle(&syn(family).frame());
        assert_eq!(verdict.reason(), Some(Reason::AnswerLimited));
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_said_so_where_its_route_names_the_source() {
    for family in 0..2 {
        let mut director = director(family, family, Method::Nat);
        director.source_pools.push(SourcePool {
            addresses: 1,
            first_port: 1024,
            last_port: 65535,
            flags: SourcePool::ROUTE,
            ..SourcePool::new_zeroed()
        });
        for server in &mut director.servers {
            server.source_pool = 1;
        }
        director.hops[1] = Hop {
            flags: Hop::UNREACHABLE,
            ..Hop::new_zeroed()
        };
        let error = [(3, 1, 0), (1, 3, 0)][family];
        answers(&director, &syn(family), Reason::ServerUnreachable, error);
        // Nothing is known of the server's route.
        director.hops[1] = Hop::new_zeroed();
        let (verdict, _) = director.handle(&syn(family).frame());
        assert_eq!(verdict.reason(), Some(Reason::Unresolved));
    }
}

#[test]
fn an_mtu_below_the_least_is_not_named() {
    let mut director = director(1, 1, Method::Tunnel);
    director.hops[1].mtu = 1300;
    let (verdict, _) = director.handle(&syn(1).sized(1280).frame());
    assert_eq!(
        (verdict.action(), verdict.reason()),
        (Action::Drop, Some(Reason::Unanswerable))
    );
}

#[test]
fn a_service_without_a_server_answers_port_unreachable() {
    for (family, error) in [(0, (3, 3, 0)), (1, (1, 4, 0))] {
        let mut director = director(family, family, Method::Direct);
        director.edit(0, |_, members| members.clear());
        answers(&director, &syn(family), Reason::NoServer, error);
        director.serve(Protocol::Udp, at(TO[family]), Pick::Nothing);
        let datagram = Draft::udp(FROM[family], TO[family]);
        answers(&director, &datagram, Reason::NoServer, error);
        assert_eq!(director.states(), []);
        let reset = Draft::tcp(FROM[family], TO[family], RST);
        let (verdict, _) = director.handle(&reset.frame());
        assert_eq!(verdict.action(), Action::Pass);
    }
}

#[test]
fn nobody_and_everybody_get_no_answer() {
    let director = director(0, 0, Method::Direct);
    let last_hop = syn(0).with(|draft| draft.ttl = 1);
    for from in [
        "0.0.0.0:1",
        "127.0.0.1:1",
        "224.0.0.1:1",
        "255.255.255.255:1",
    ] {
        let draft = last_hop.clone().with(|draft| draft.from = at(from));
        let (verdict, _) = director.handle(&draft.frame());
        assert_eq!(verdict, Verdict::drop(Reason::Martian), "{from}");
    }
    let broadcast = last_hop.with(|draft| draft.macs.0 = [0xff; 6]);
    let (verdict, _) = director.handle(&broadcast.frame());
    assert_eq!(verdict.reason(), Some(Reason::GroupFrame));
}

#[test]
fn answers_are_limited() {
    let director = director(0, 0, Method::Direct);
    director.answers.store(2, SeqCst);
    let draft = syn(0).with(|draft| draft.ttl = 1).frame();
    let reasons = [(); 3].map(|()| director.handle(&draft).0.reason());
    let (sent, limited) = (Some(Reason::TimeExceeded), Some(Reason::AnswerLimited));
    assert_eq!(reasons, [sent, sent, limited]);
}
