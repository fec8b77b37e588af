//! A table that is too small: who keeps its place, who is recycled, who goes without.

use lvs_common::abi::{Method, Pick};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason};

use super::frames::{ACK, Draft, SYN, at};
use super::memory::Director;

const VIRTUAL: &str = "192.0.2.1:80";

/// A director whose table is a single set of eight ways, with three servers.
fn tight(protocol: Protocol, method: Method) -> Director {
    let mut director = Director::with_sets(1);
    let service = director.serve(protocol, at(VIRTUAL), Pick::Rotate);
    for real in ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"] {
        director.add(service, at(real), method, 1);
    }
    director
}

fn segment(port: u16, flags: u8) -> Draft {
    Draft::tcp(&format!("198.51.100.7:{port}"), VIRTUAL, flags)
}

fn datagram(port: u16) -> Draft {
    Draft::udp(&format!("198.51.100.7:{port}"), VIRTUAL)
}

fn reason(director: &Director, draft: &Draft) -> Reason {
    let (verdict, _) = director.handle(&draft.frame());
    verdict.reason().expect("a known reason")
}

/// Connections that carry a few packets over a second: nothing recycles them from there on.
fn establish(director: &Director, ports: impl IntoIterator<Item = u16>) {
    let ports: Vec<_> = ports.into_iter().collect();
    for [first, second] in [[SYN, ACK], [ACK, ACK]] {
        for &port in &ports {
            for flags in [first, second] {
                assert!(
                    director
                        .handle(&segment(port, flags).frame())
                        .0
                        .is_forwarded()
                );
            }
        }
        director.pass_time(1);
    }
}

fn in_state(director: &Director, name: &str) -> usize {
    director
        .states()
        .iter()
        .filter(|(_, state)| *state == name)
        .count()
}

/// What the servers are said to hold is what is in the table.
fn counts_are_exact(director: &Director) {
    for server in 0..3_u32 {
        let (active, inactive) = director.connections(server);
        let held = director
            .states()
            .iter()
            .filter(|(of, _)| *of == server)
            .count();
        assert_eq!((active + inactive) as usize, held);
    }
}

#[test]
fn a_flood_of_syns_gets_half_of_a_set_and_no_established_connection() {
    let director = tight(Protocol::Tcp, Method::Direct);
    establish(&director, 1..=3);
    for port in 1000..2000 {
        assert_eq!(reason(&director, &segment(port, SYN)), Reason::Direct);
        assert!(in_state(&director, "SYN_RECV") <= 4);
        assert_eq!(in_state(&director, "ESTABLISHED"), 3);
    }
    counts_are_exact(&director);
    establish(&director, 4..=8);
    assert_eq!(in_state(&director, "ESTABLISHED"), 8);
    counts_are_exact(&director);
}

#[test]
fn a_flood_of_datagrams_leaves_the_flows_of_more_than_one() {
    let director = tight(Protocol::Udp, Method::Direct);
    for port in 1..=4 {
        for _ in 0..2 {
            assert_eq!(reason(&director, &datagram(port)), Reason::Direct);
        }
    }
    for port in 1000..2000 {
        assert_eq!(reason(&director, &datagram(port)), Reason::Direct);
    }
    let connections = |director: &Director| -> u64 {
        (0..3)
            .map(|server| director.stats(server).connections)
            .sum()
    };
    let before = connections(&director);
    for port in 1..=4 {
        reason(&director, &datagram(port));
    }
    assert_eq!(connections(&director), before, "they are all still known");
    counts_are_exact(&director);
}

#[test]
fn without_room_direct_routing_goes_by_the_flow_alone() {
    let director = tight(Protocol::Tcp, Method::Direct);
    establish(&director, 1..=8);
    for port in 1000..1020 {
        let (verdict, syn) = director.handle(&segment(port, SYN).frame());
        assert_eq!(verdict.reason(), Some(Reason::Stateless));
        let (verdict, ack) = director.handle(&segment(port, ACK).frame());
        assert_eq!(verdict.reason(), Some(Reason::Stateless));
        // Every server has the same neighbour here, so nothing but the flags differs.
        assert_eq!(syn[..34], ack[..34]);
    }
    assert_eq!(director.states().len(), 8);
    assert_eq!(in_state(&director, "ESTABLISHED"), 8);
}

#[test]
fn without_room_each_flow_of_a_tunnel_keeps_its_server() {
    let director = tight(Protocol::Tcp, Method::Tunnel);
    establish(&director, 1..=8);
    let server = |port, flags| {
        let (verdict, after) = director.handle(&segment(port, flags).frame());
        assert_eq!(verdict.reason(), Some(Reason::Stateless));
        after[30..34].to_vec()
    };
    let mut servers = std::collections::HashSet::new();
    for port in 1000..1040 {
        assert_eq!(server(port, SYN), server(port, ACK));
        servers.insert(server(port, SYN));
    }
    assert_eq!(servers.len(), 3);
}

#[test]
fn without_room_nat_drops() {
    let director = tight(Protocol::Tcp, Method::Nat);
    establish(&director, 1..=4);
    let (verdict, _) = director.handle(&segment(1000, SYN).frame());
    assert_eq!(
        (verdict.action(), verdict.reason()),
        (Action::Drop, Some(Reason::TableFull))
    );
    assert_eq!(in_state(&director, "ESTABLISHED"), 4);
    counts_are_exact(&director);
}

#[test]
fn a_nat_connection_whose_replies_find_no_room_leaves_nothing_behind() {
    let director = tight(Protocol::Tcp, Method::Nat);
    establish(&director, 1..=3);
    // Two ways are left. A flood takes and leaves them, with both directions or not at all.
    for port in 1000..1100 {
        reason(&director, &segment(port, SYN));
        assert_eq!(in_state(&director, "ESTABLISHED"), 3);
        counts_are_exact(&director);
    }
}

#[test]
fn what_expired_makes_room() {
    let director = tight(Protocol::Tcp, Method::Direct);
    establish(&director, 1..=8);
    director.pass_time(901);
    establish(&director, 11..=18);
    assert_eq!(in_state(&director, "ESTABLISHED"), 8);
    counts_are_exact(&director);
}

#[test]
fn an_old_nat_connection_that_is_in_use_outlives_a_flood() {
    let director = tight(Protocol::Tcp, Method::Nat);
    establish(&director, 1..=2);
    // Longer than any state but ESTABLISHED lasts.
    for _ in 0..30 {
        director.pass_time(50);
        for port in 1..=2 {
            assert_eq!(reason(&director, &segment(port, ACK)), Reason::Nat);
        }
    }
    for port in 1000..1100 {
        reason(&director, &segment(port, SYN));
        assert_eq!(in_state(&director, "ESTABLISHED"), 2);
        counts_are_exact(&director);
    }
    for (port, real) in [(1, "10.0.0.1:80"), (2, "10.0.0.2:80")] {
        let reply = Draft::tcp(real, &format!("198.51.100.7:{port}"), ACK);
        assert_eq!(reason(&director, &reply), Reason::NatReply);
    }
}
