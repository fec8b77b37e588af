//! Filters of services: lists of addresses, and limits per client.

use std::sync::atomic::Ordering::SeqCst;

use lvs_common::abi::{Filter, FilterNode, Method, Pace, Pick, Plan, Refused, WAYS};
use lvs_common::connection::Protocol;
use lvs_common::connection::table::PROVEN_TIME;
use lvs_common::verdict::{Reason, Verdict};

use super::frames::{ACK, Draft, FIN, RST, SYN, at};
use super::memory::Director;

const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const REAL: [&str; 2] = ["10.0.0.1:80", "[2001:db8:2::1]:80"];
const DENIED: [&str; 2] = ["198.51.100.7:9", "[2001:db8:9::7]:9"];
const ADMITTED: [&str; 2] = ["203.0.113.7:9", "[3001:db8:9::7]:9"];

fn director(family: usize, protocol: Protocol, method: Method) -> Director {
    let mut director = Director::new();
    let service = director.serve(protocol, at(VIRTUAL[family]), Pick::Rotate);
    director.add(service, at(REAL[family]), method, 1);
    director
}

/// Gives the service a filter.
fn set(director: &mut Director, filter: Filter) {
    director.filters.push(filter);
    let number = u32::try_from(director.filters.len() - 1).expect("few");
    director.edit(0, |plan, _| plan.filter = number);
}

/// Everybody is admitted but 198.0.0.0/8 and 2000::/8.
fn lists(director: &mut Director) -> Filter {
    let mut nodes = [FilterNode {
        admitted: u64::MAX,
        ..FilterNode::default()
    }; 4];
    nodes[3].admitted &= !(1 << 6);
    nodes[0].admitted &= !(1 << 32);
    let root = u32::try_from(director.filter_nodes.len()).expect("few");
    director.filter_nodes.extend(nodes);
    Filter {
        root,
        elements: 4,
        root_bits: 2,
        flags: Filter::LISTS,
        ..Filter::default()
    }
}

/// A filter with one limit, per address.
fn limit(flag: u32, count: u32) -> Filter {
    Filter {
        flags: flag,
        mask: [u64::MAX; 2],
        connections: count,
        opening: Pace::per_second(count),
        sending: Pace::per_second(count),
        ..Filter::default()
    }
}

fn packet(protocol: Protocol, from: &str, to: &str, flags: u8) -> Vec<u8> {
    match protocol {
        Protocol::Tcp => Draft::tcp(from, to, flags).frame(),
        Protocol::Udp => Draft::udp(from, to).frame(),
        Protocol::Sctp => Draft::sctp(from, to, 1).frame(),
    }
}

/// Sends a packet by the fast path or, with `stages`, by the stages alone.
fn send(director: &Director, frame: &[u8], stages: bool) -> Verdict {
    if stages {
        director.handle_by_stages(frame).0
    } else {
        director.handle(frame).0
    }
}

fn reason(director: &Director, frame: &[u8]) -> Option<Reason> {
    director.handle(frame).0.reason()
}

#[test]
fn a_denied_client_begins_no_connection() {
    for (family, protocol, method) in [
        (0, Protocol::Tcp, Method::Direct),
        (0, Protocol::Udp, Method::Nat),
        (0, Protocol::Sctp, Method::Tunnel),
        (1, Protocol::Tcp, Method::Nat),
        (1, Protocol::Udp, Method::Direct),
    ] {
        for (persistence, stages) in [(0, false), (0, true), (60, false)] {
            let mut director = director(family, protocol, method);
            let filter = lists(&mut director);
            set(&mut director, filter);
            director.edit(0, |plan, _| plan.persistence = persistence);
            let denied = packet(protocol, DENIED[family], VIRTUAL[family], SYN);
            assert_eq!(
                send(&director, &denied, stages),
                Verdict::drop(Reason::Denied)
            );
            assert_eq!((director.states(), director.templates(0)), (vec![], 0));
            assert_eq!(director.refused(Refused::Denied), 1);
            let admitted = packet(protocol, ADMITTED[family], VIRTUAL[family], SYN);
            assert!(send(&director, &admitted, stages).is_forwarded());
            assert_eq!(director.states().len(), 1);
        }
    }
}

#[test]
fn a_filter_that_changes_ends_no_connection() {
    for family in [0, 1] {
        let mut director = director(family, Protocol::Tcp, Method::Direct);
        let (from, to) = (DENIED[family], VIRTUAL[family]);
        for flags in [SYN, ACK] {
            let verdict = director.handle(&Draft::tcp(from, to, flags).frame()).0;
            assert_eq!(verdict.reason(), Some(Reason::Direct));
        }
        let filter = lists(&mut director);
        set(&mut director, filter);
        for stages in [false, true] {
            let known = Draft::tcp(from, to, ACK).frame();
            assert!(send(&director, &known, stages).is_forwarded());
        }
        director.handle(&Draft::tcp(from, to, RST).frame());
        director.pass_time(20);
        let again = Draft::tcp(from, to, SYN).frame();
        assert_eq!(reason(&director, &again), Some(Reason::Denied));
    }
}

#[test]
fn the_lists_hold_where_a_full_table_forwards_by_hash_alone() {
    let mut director = Director::with_sets(1);
    let service = director.serve(Protocol::Tcp, at(VIRTUAL[0]), Pick::Rotate);
    director.add(service, at(REAL[0]), Method::Direct, 1);
    // Connections that carried packets over some time stay when there is no room.
    let packet = |port: u32, flags| {
        let from = format!("203.0.113.9:{port}");
        director.handle(&Draft::tcp(&from, VIRTUAL[0], flags).frame());
    };
    for port in 1000..1000 + WAYS {
        for flags in [SYN, ACK, ACK] {
            packet(port, flags);
        }
    }
    director.clock.fetch_add(PROVEN_TIME, SeqCst);
    for port in 1000..1000 + WAYS {
        packet(port, ACK);
    }
    let filter = lists(&mut director);
    set(&mut director, filter);
    for flags in [SYN, ACK] {
        let admitted = Draft::tcp(ADMITTED[0], VIRTUAL[0], flags).frame();
        assert_eq!(reason(&director, &admitted), Some(Reason::Stateless));
        let denied = Draft::tcp(DENIED[0], VIRTUAL[0], flags).frame();
        assert_eq!(reason(&director, &denied), Some(Reason::Denied));
    }
}

#[test]
fn packets_of_one_packet_services_are_judged_one_by_one() {
    let mut director = director(0, Protocol::Udp, Method::Direct);
    director.edit(0, |plan, _| plan.flags |= Plan::ONE_PACKET);
    set(&mut director, limit(Filter::OPENING, 3));
    let datagram = Draft::udp(ADMITTED[0], VIRTUAL[0]).frame();
    let forwarded = (0..9).filter(|_| director.handle(&datagram).0.is_forwarded());
    assert_eq!(forwarded.count(), 3);
}

#[test]
fn a_client_begins_so_many_connections_a_second() {
    for family in [0, 1] {
        let mut director = director(family, Protocol::Tcp, Method::Direct);
        set(&mut director, limit(Filter::OPENING, 5));
        let hosts = [["203.0.113.7", "203.0.113.8"], ["[3001::7]", "[3001::8]"]][family];
        let mut port = 1000;
        let mut burst = |director: &Director, host: &str| {
            (0..20)
                .filter(|_| {
                    port += 1;
                    let from = format!("{host}:{port}");
                    let verdict = director.handle(&Draft::tcp(&from, VIRTUAL[family], SYN).frame());
                    assert!(
                        verdict.0.is_forwarded()
                            || verdict.0 == Verdict::drop(Reason::ClientOpening)
                    );
                    verdict.0.is_forwarded()
                })
                .count()
        };
        assert_eq!(burst(&director, hosts[0]), 5);
        assert_eq!(burst(&director, hosts[0]), 0);
        assert_eq!(burst(&director, hosts[1]), 5);
        director.pass_time(1);
        assert_eq!(burst(&director, hosts[0]), 5);
        assert_eq!(director.refused(Refused::Opening), 15 + 20 + 15 + 15);
    }
}

#[test]
fn a_prefix_of_clients_shares_its_limit() {
    let mut director = director(0, Protocol::Tcp, Method::Direct);
    let mut filter = limit(Filter::OPENING, 4);
    filter.mask = zerocopy::transmute!([255_u8, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    set(&mut director, filter);
    let begin = |from: String| {
        director
            .handle(&Draft::tcp(&from, VIRTUAL[0], SYN).frame())
            .0
    };
    let forwarded = (1..20).filter(|host| begin(format!("203.0.113.{host}:9")).is_forwarded());
    assert_eq!(forwarded.count(), 4);
    assert!(begin("203.0.114.1:9".to_owned()).is_forwarded());
}

/// Sends a segment of a client's connection from this port.
fn segment(director: &Director, port: u16, flags: u8) -> Option<Reason> {
    let from = format!("203.0.113.7:{port}");
    reason(director, &Draft::tcp(&from, VIRTUAL[0], flags).frame())
}

#[test]
fn a_client_has_so_many_connections_open() {
    for method in [Method::Direct, Method::Nat] {
        let mut director = director(0, Protocol::Tcp, method);
        set(&mut director, limit(Filter::OPEN, 3));
        let client = at("203.0.113.7:1").ip();
        let open = |director: &Director| director.open(0, client);
        let forwarded = match method {
            Method::Nat => Some(Reason::Nat),
            _ => Some(Reason::Direct),
        };
        for port in 1..=3 {
            assert_eq!(segment(&director, port, SYN), forwarded);
            assert_eq!(segment(&director, port, ACK), forwarded);
        }
        assert_eq!(open(&director), Some(3));
        assert_eq!(segment(&director, 4, SYN), Some(Reason::ClientOpen));
        assert_eq!(segment(&director, 3, ACK), forwarded);
        // One is closed, one is reset. What ends without a packet is the sweep's to find out.
        assert_eq!(segment(&director, 1, FIN), forwarded);
        assert_eq!(open(&director), Some(2));
        assert_eq!(segment(&director, 1, ACK), forwarded);
        assert_eq!(segment(&director, 5, SYN), forwarded);
        assert_eq!(segment(&director, 6, SYN), Some(Reason::ClientOpen));
        assert_eq!(segment(&director, 2, RST), forwarded);
        assert_eq!(open(&director), Some(2));
    }
}

#[test]
fn what_is_scheduled_again_is_not_a_new_connection() {
    let mut director = director(0, Protocol::Tcp, Method::Direct);
    director.edit(0, |plan, _| plan.flags |= Plan::REDISPATCH);
    let mut filter = limit(Filter::OPEN | Filter::OPENING, 1);
    filter.opening = Pace::per_second(1);
    set(&mut director, filter);
    for _ in 0..4 {
        assert_eq!(segment(&director, 1, SYN), Some(Reason::Direct));
        assert_eq!(director.open(0, at("203.0.113.7:1").ip()), Some(1));
    }
    assert_eq!(segment(&director, 2, SYN), Some(Reason::ClientOpen));
}

#[test]
fn packets_over_the_limit_are_dropped_of_known_connections_too() {
    for family in [0, 1] {
        let mut director = director(family, Protocol::Udp, Method::Direct);
        set(&mut director, limit(Filter::SENDING, 50));
        let burst = |from: &str| {
            let datagram = Draft::udp(from, VIRTUAL[family]).frame();
            let forwarded = (0..200).filter(|_| director.handle(&datagram).0.is_forwarded());
            forwarded.count()
        };
        assert_eq!(burst(ADMITTED[family]), 50);
        assert_eq!(burst(DENIED[family]), 50);
        assert_eq!(burst(ADMITTED[family]), 0);
        assert_eq!(director.refused(Refused::Sending), 150 + 150 + 200);
        director.pass_time(1);
        assert_eq!(burst(ADMITTED[family]), 50);
    }
}

#[test]
fn a_repeated_syn_is_a_packet_like_any_other() {
    let mut director = director(0, Protocol::Tcp, Method::Direct);
    set(&mut director, limit(Filter::SENDING, 10));
    let reasons: Vec<_> = (0..40).map(|_| segment(&director, 1, SYN)).collect();
    let dropped = reasons
        .iter()
        .filter(|reason| **reason == Some(Reason::ClientSending));
    assert_eq!(dropped.count(), 30);
}

#[test]
fn of_too_many_clients_those_that_were_silent_are_forgotten() {
    let mut director = director(0, Protocol::Udp, Method::Direct);
    set(&mut director, limit(Filter::OPEN, 2));
    for host in 0..250 {
        director.clock.fetch_add(1, SeqCst);
        let from = format!("203.0.113.{host}:9");
        assert!(
            director
                .handle(&Draft::udp(&from, VIRTUAL[0]).frame())
                .0
                .is_forwarded()
        );
    }
    let known = |host: u32| {
        let host = format!("203.0.113.{host}").parse().expect("an address");
        director.open(0, host)
    };
    assert_eq!(known(249), Some(1));
    let kept = (0..250).filter(|host| known(*host).is_some()).count();
    assert!(kept > 48 && kept <= 64, "{kept}");
    assert_eq!(director.refused(Refused::Forgotten), 250 - kept as u64);
}
