//! Clients on the director itself: their sockets get a real server's address.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;

use lvs_common::abi::{Config, Method, Pick, Plan, Server, ServiceKey};
use lvs_common::connection::Protocol;
use lvs_common::local_clients::{Destination, connect, peer, send};

use super::frames::{at, wide};
use super::memory::Director;

const VIRTUAL: &str = "192.0.2.1:80";
const VIRTUAL6: &str = "[2001:db8::1]:80";
/// Cookies of sockets.
const SOCKETS: [u64; 3] = [1001, 1002, 1003];

fn key(protocol: Protocol, address: SocketAddr) -> ServiceKey {
    ServiceKey {
        address: wide(address.ip()),
        port: address.port().into(),
        protocol: protocol.number(),
        family: if address.is_ipv4() { 4 } else { 6 },
    }
}

fn tcp(address: &str) -> ServiceKey {
    key(Protocol::Tcp, at(address))
}

fn udp(address: &str) -> ServiceKey {
    key(Protocol::Udp, at(address))
}

/// A director with a service and two servers.
fn director(protocol: Protocol, pick: Pick, weights: [u32; 2]) -> (Director, u32) {
    let mut director = Director::new();
    let service = director.serve(protocol, at(VIRTUAL), pick);
    for (server, weight) in ["10.0.0.1:8080", "10.0.0.2:80"].into_iter().zip(weights) {
        director.add(service, at(server), Method::Nat, weight);
    }
    (director, service)
}

#[test]
fn sockets_take_turns_and_know_the_virtual_address_only() {
    let (director, _) = director(Protocol::Tcp, Pick::Rotate, [1, 1]);
    let [first, second, third] = SOCKETS.map(|socket| connect(&director, socket, &tcp(VIRTUAL)));
    let mut got = [first, second];
    got.sort_by_key(|got| format!("{got:?}"));
    let servers = ["10.0.0.1:8080", "10.0.0.2:80"].map(|server| Destination::Server(tcp(server)));
    assert!(servers.iter().all(|server| got.contains(server)), "{got:?}");
    assert_eq!(third, first);

    let Destination::Server(server) = first else {
        panic!("{first:?}");
    };
    assert_eq!(peer(&director, SOCKETS[0], &server), Some(tcp(VIRTUAL)));
    assert_eq!(peer(&director, SOCKETS[1], &server), None);
    assert_eq!(
        director.stats(0).connections + director.stats(1).connections,
        3
    );
}

#[test]
fn other_addresses_stay() {
    let (director, _) = director(Protocol::Tcp, Pick::Rotate, [1, 1]);
    for to in [tcp("192.0.2.1:81"), tcp("192.0.2.2:80"), udp(VIRTUAL)] {
        assert_eq!(connect(&director, 1, &to), Destination::Unchanged);
    }
    assert_eq!(director.stats(0).connections, 0);
}

#[test]
fn without_a_server_there_is_none() {
    for pick in [
        Pick::Rotate,
        Pick::Least,
        Pick::WeightedLeast,
        Pick::SourceHash,
    ] {
        let (director, _) = director(Protocol::Tcp, pick, [0, 0]);
        assert_eq!(connect(&director, 1, &tcp(VIRTUAL)), Destination::NoServer);
    }
}

#[test]
fn quiesced_servers_get_nothing() {
    for pick in [Pick::Rotate, Pick::Least, Pick::Failover, Pick::TwoRandom] {
        let (director, _) = director(Protocol::Tcp, pick, [0, 1]);
        for socket in SOCKETS {
            let got = connect(&director, socket, &tcp(VIRTUAL));
            assert_eq!(got, Destination::Server(tcp("10.0.0.2:80")));
        }
    }
}

#[test]
fn schedulers_that_count_connections_draw_by_weight() {
    for pick in [
        Pick::Least,
        Pick::WeightedLeast,
        Pick::ShortestDelay,
        Pick::NeverQueue,
        Pick::Locality,
        Pick::LocalitySet,
    ] {
        draws_by_weight(pick);
    }
}

fn draws_by_weight(pick: Pick) {
    let (director, _) = director(Protocol::Tcp, pick, [3, 1]);
    for socket in 1..=400 {
        connect(&director, socket, &tcp(VIRTUAL));
    }
    assert_eq!(
        [0, 1].map(|server| director.stats(server).connections),
        [300, 100]
    );
    assert_eq!(director.random.load(SeqCst), 400);
}

#[test]
fn datagrams_of_a_socket_go_to_one_server() {
    let (director, service) = director(Protocol::Udp, Pick::Rotate, [1, 1]);
    let first = send(&director, 1, &udp(VIRTUAL));
    let other = send(&director, 2, &udp(VIRTUAL));
    assert_ne!(first, other);
    director.pass_time(200);
    assert_eq!(send(&director, 1, &udp(VIRTUAL)), first);
    director.pass_time(200);
    assert_eq!(send(&director, 1, &udp(VIRTUAL)), first);
    // One connection each.
    assert_eq!(
        [0, 1].map(|server| director.stats(server).connections),
        [1, 1]
    );

    // A deleted server is left at once, and one that was not used for UDP's timeout is forgotten.
    let mut director = director;
    let Destination::Server(server) = first else {
        panic!("{first:?}");
    };
    let place = usize::from(server != udp("10.0.0.1:8080"));
    director.servers[place].flags = Server::DELETED;
    director.edit(service, |_, members| members[place].weight = 0);
    assert_eq!(send(&director, 1, &udp(VIRTUAL)), other);
    director.pass_time(301);
    director.servers[place].flags = 0;
    director.edit(service, |_, members| {
        members[place].weight = 1;
        members[1 - place].weight = 0;
    });
    assert_eq!(send(&director, 1, &udp(VIRTUAL)), first);
}

#[test]
fn single_datagrams_take_turns() {
    let (mut director, service) = director(Protocol::Udp, Pick::Rotate, [1, 1]);
    director.edit(service, |plan, _| plan.flags |= Plan::ONE_PACKET);
    let [first, second] = [(); 2].map(|()| send(&director, 1, &udp(VIRTUAL)));
    assert_ne!(first, second);
}

#[test]
fn a_persistent_service_has_one_server_for_all() {
    let (mut director, service) = director(Protocol::Tcp, Pick::Rotate, [1, 1]);
    director.edit(service, |plan, _| plan.persistence = 100);
    let first = connect(&director, 1, &tcp(VIRTUAL));
    director.pass_time(60);
    assert_eq!(connect(&director, 2, &tcp(VIRTUAL)), first);
    director.pass_time(60);
    assert_eq!(connect(&director, 3, &tcp(VIRTUAL)), first);
    assert_eq!(
        director.stats(0).connections + director.stats(1).connections,
        3
    );
    director.pass_time(101);
    assert_ne!(connect(&director, 4, &tcp(VIRTUAL)), first);
}

#[test]
fn ftp_data_follows_to_the_server_of_the_control_connection() {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at("192.0.2.1:21"), Pick::Rotate);
    for server in ["10.0.0.1:21", "10.0.0.2:21"] {
        director.add(service, at(server), Method::Direct, 1);
    }
    director.edit(service, |plan, _| {
        plan.persistence = 100;
        plan.flags |= Plan::FTP;
    });
    director.config.ftp_services = 1;
    let Destination::Server(control) = connect(&director, 1, &tcp("192.0.2.1:21")) else {
        panic!("no server");
    };
    let data = connect(&director, 2, &tcp("192.0.2.1:5000"));
    let wanted = ServiceKey {
        port: 5000.into(),
        ..control
    };
    assert_eq!(data, Destination::Server(wanted));
}

#[test]
fn a_service_for_all_ports_keeps_the_port() {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at("[2001:db8::1]:0"), Pick::Rotate);
    director.add(service, at("[2001:db8:2::1]:0"), Method::Tunnel, 1);
    let got = connect(&director, 1, &tcp(VIRTUAL6));
    assert_eq!(got, Destination::Server(tcp("[2001:db8:2::1]:80")));
}

#[test]
fn servers_of_the_other_family_and_the_address_itself_leave_it() {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at(VIRTUAL6), Pick::Rotate);
    director.add(service, at("10.0.0.1:80"), Method::Tunnel, 1);
    assert_eq!(
        connect(&director, 1, &tcp(VIRTUAL6)),
        Destination::Unchanged
    );
    assert_eq!(director.stats(0).connections, 0);

    let own = director.serve(Protocol::Tcp, at(VIRTUAL), Pick::Rotate);
    let server = director.add(own, at(VIRTUAL), Method::Local, 1);
    assert_eq!(connect(&director, 1, &tcp(VIRTUAL)), Destination::Unchanged);
    assert_eq!(director.stats(server).connections, 1);
}

#[test]
fn rules_for_marks_are_not_asked() {
    let (mut director, _) = director(Protocol::Tcp, Pick::Rotate, [1, 1]);
    director.config.mark_rules = Config::mark_run(1, 1);
    let got = connect(&director, 1, &tcp(VIRTUAL));
    assert!(matches!(got, Destination::Server(_)), "{got:?}");
}
