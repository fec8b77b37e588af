//! Who is kept with which server, and for how long.

use lvs_common::abi::{Method, Pick, Plan, Server, seconds};
use lvs_common::connection::Protocol;
use lvs_common::connection::template::GRACE;

use super::frames::{ACK, Draft, SYN, at};
use super::memory::Director;

/// How long templates are found beyond their time.
const GRACE_SECONDS: u32 = seconds(GRACE);

const VIRTUAL: &str = "192.0.2.1:80";

/// Two servers in turn, clients kept for a minute by the first 24 bits of their address.
fn persistent(protocol: Protocol, method: Method, flags: u8) -> Director {
    persistent_with(Director::new(), protocol, method, flags)
}

fn persistent_with(
    mut director: Director,
    protocol: Protocol,
    method: Method,
    flags: u8,
) -> Director {
    let service = director.serve(protocol, at(VIRTUAL), Pick::Rotate);
    for server in ["10.0.0.1:80", "10.0.0.2:80"] {
        director.add(service, at(server), method, 1);
    }
    director.edit(service, |plan, _| {
        plan.persistence = 60;
        plan.prefix = 24;
        plan.flags |= flags;
    });
    director
}

/// The server that a packet is counted for.
fn server(director: &Director, draft: &Draft) -> u32 {
    let before = [0, 1].map(|server| director.stats(server).in_packets);
    director.handle(&draft.frame());
    let after = [0, 1].map(|server| director.stats(server).in_packets);
    match (after[0] - before[0], after[1] - before[1]) {
        (1, 0) => 0,
        (0, 1) => 1,
        counted => panic!("one packet, counted {counted:?} times"),
    }
}

fn syn(director: &Director, client: &str) -> u32 {
    server(director, &Draft::tcp(client, VIRTUAL, SYN))
}

#[test]
fn the_clients_of_a_network_are_kept_with_one_server() {
    let director = persistent(Protocol::Tcp, Method::Direct, 0);
    let first = syn(&director, "198.51.100.7:40000");
    let other = syn(&director, "203.0.113.7:40000");
    assert_ne!(first, other);
    for port in 40_001..40_006 {
        assert_eq!(syn(&director, &format!("198.51.100.99:{port}")), first);
        assert_eq!(syn(&director, &format!("203.0.113.99:{port}")), other);
    }
    assert_eq!((director.templates(0), director.templates(1)), (1, 1));
}

#[test]
fn a_template_holds_for_a_quiesced_server_but_not_for_a_deleted_one() {
    let mut director = persistent(Protocol::Tcp, Method::Nat, 0);
    assert_eq!(syn(&director, "198.51.100.7:40000"), 0);
    director.edit(0, |_, members| members[0].weight = 0);
    assert_eq!(syn(&director, "198.51.100.7:40001"), 0);
    director.servers[0].flags |= Server::DELETED;
    assert_eq!(syn(&director, "198.51.100.7:40002"), 1);
    assert_eq!((director.templates(0), director.templates(1)), (0, 1));
}

#[test]
fn a_connection_assures_no_template_of_another_server() {
    let mut director = persistent(Protocol::Tcp, Method::Direct, 0);
    assert_eq!(syn(&director, "198.51.100.7:40000"), 0);
    director.servers[0].flags |= Server::DELETED;
    director.edit(0, |_, members| members[0].weight = 0);
    assert_eq!(syn(&director, "198.51.100.7:40001"), 1);
    director.servers[0].flags &= !Server::DELETED;
    let acknowledged = |client| server(&director, &Draft::tcp(client, VIRTUAL, ACK));
    assert_eq!(acknowledged("198.51.100.7:40000"), 0);
    assert_eq!(director.assured_templates(), 0);
    assert_eq!(acknowledged("198.51.100.7:40001"), 1);
    assert_eq!(director.assured_templates(), 1);
}

#[test]
fn new_connections_give_a_template_its_time_again_and_packets_do_not() {
    let director = persistent(Protocol::Tcp, Method::Direct, 0);
    assert_eq!(syn(&director, "198.51.100.7:40000"), 0);
    director.pass_time(50);
    assert_eq!(syn(&director, "198.51.100.7:40001"), 0);
    director.pass_time(50);
    assert_eq!(syn(&director, "198.51.100.7:40002"), 0);
    let established = Draft::tcp("198.51.100.7:40002", VIRTUAL, ACK);
    assert_eq!(server(&director, &established), 0);
    director.pass_time(50);
    assert_eq!(server(&director, &established), 0);
    director.pass_time(10 + GRACE_SECONDS + 1);
    assert_eq!(syn(&director, "198.51.100.7:40003"), 1);
    assert_eq!((director.templates(0), director.templates(1)), (0, 1));
}

#[test]
fn a_template_that_no_sweep_has_looked_after_yet_keeps_its_client() {
    let director = persistent(Protocol::Tcp, Method::Direct, 0);
    assert_eq!(syn(&director, "198.51.100.7:40000"), 0);
    director.pass_time(60 + GRACE_SECONDS);
    assert_eq!(syn(&director, "198.51.100.7:40001"), 0);
    // And has its whole time again.
    director.pass_time(60);
    assert_eq!(syn(&director, "198.51.100.7:40002"), 0);
    assert_eq!((director.templates(0), director.templates(1)), (1, 0));
}

#[test]
fn a_flood_recycles_templates_of_which_no_connection_was_established() {
    // All in one set.
    let flood = |established: bool| {
        let director = persistent_with(Director::with_sets(1), Protocol::Tcp, Method::Direct, 0);
        assert_eq!(syn(&director, "198.51.100.7:40000"), 0);
        if established {
            server(&director, &Draft::tcp("198.51.100.7:40000", VIRTUAL, ACK));
        }
        director.pass_time(1);
        // An even number, each of another network: the turn comes back to the second server.
        for network in 0..100 {
            syn(&director, &format!("203.0.{network}.7:40000"));
        }
        syn(&director, "198.51.100.7:40001")
    };
    assert_eq!(flood(true), 0);
    assert_eq!(flood(false), 1);
}

#[test]
fn datagrams_scheduled_one_by_one_stay_with_the_server_too() {
    let director = persistent(Protocol::Udp, Method::Direct, Plan::ONE_PACKET);
    for _ in 0..4 {
        let datagram = Draft::udp("198.51.100.7:40000", VIRTUAL);
        assert_eq!(server(&director, &datagram), 0);
    }
    assert_eq!((director.states().len(), director.templates(0)), (0, 1));
}
