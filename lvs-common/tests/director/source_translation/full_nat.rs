//! Full NAT: real servers see addresses of the director's.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;

use lvs_common::abi::{Method, Pick, Plan, Server};
use lvs_common::connection::Protocol;
use lvs_common::connection::table::PROVEN_TIME;
use lvs_common::verdict::{Action, Reason};

use super::super::frames::{ACK, Draft, SYN, at};
use super::super::memory::Director;
use super::{
    CLIENT, FIRST, OWN, PROTOCOLS, REAL, ROUTE, SECOND, answer, ask, by_route, draft, entries,
    full, later, pool, use_pool,
};

#[test]
fn by_full_nat_the_server_sees_the_director_only() {
    for protocol in PROTOCOLS {
        for family in 0..2 {
            let (client, real) = (CLIENT[family], REAL[family]);
            for (pool, own) in [
                (pool(OWN[family], 1, (2000, 2999)), OWN[family]),
                (by_route(), ROUTE[family]),
            ] {
                let director = full(protocol, family, pool);
                let first = draft(protocol, client, FIRST[family]);
                let seen = ask(&director, &first, real);
                assert_eq!(seen.ip(), at(own).ip());
                assert!((pool.first_port..=pool.last_port).contains(&seen.port()));
                answer(&director, protocol, seen, &first, real);
                let packet = later(protocol, client, FIRST[family]);
                assert_eq!(ask(&director, &packet, real), seen);
                answer(&director, protocol, seen, &first, real);
            }
        }
    }
}

#[test]
fn a_real_server_is_a_client_of_its_own_service() {
    let director = full(Protocol::Tcp, 0, pool(OWN[0], 1, (2000, 2999)));
    let client = "10.0.0.1:40000";
    let first = Draft::tcp(client, FIRST[0], SYN);
    let seen = ask(&director, &first, REAL[0]);
    answer(&director, Protocol::Tcp, seen, &first, REAL[0]);
}

#[test]
fn every_source_of_a_pool_is_used_and_one_more_connection_is_refused() {
    let pool = pool(OWN[0], 3, (2000, 2004));
    let director = full(Protocol::Tcp, 0, pool);
    let mut seen = HashSet::new();
    for client in 0..15 {
        let client = format!("198.51.100.{client}:40000");
        let source = ask(&director, &Draft::tcp(&client, FIRST[0], SYN), REAL[0]);
        assert!(seen.insert(source), "{source} twice");
    }
    let addresses: HashSet<_> = seen.iter().map(SocketAddr::ip).collect();
    let expected = ["10.0.0.254", "10.0.0.255", "10.0.1.0"].map(|text| text.parse().expect("one"));
    assert_eq!(addresses, HashSet::from(expected));
    let more = Draft::tcp("198.51.100.99:40000", FIRST[0], SYN);
    let (verdict, _) = director.handle(&more.frame());
    assert_eq!(
        (verdict.action(), verdict.reason()),
        (Action::Drop, Some(Reason::NoSource))
    );
    assert_eq!(entries(&director), 30);
    // Another server has its own 15.
    let mut director = director;
    let service = director.serve(Protocol::Tcp, at(SECOND[0]), Pick::Rotate);
    let server = director.add(service, at("10.0.0.2:8080"), Method::Nat, 1);
    director.servers[server as usize].source_pool = 1;
    ask(
        &director,
        &Draft::tcp(CLIENT[0], SECOND[0], SYN),
        "10.0.0.2:8080",
    );
}

#[test]
fn nine_of_ten_ports_in_use_are_no_reason_to_refuse() {
    let mut director = Director::with_sets(4_096);
    let service = director.serve(Protocol::Udp, at(FIRST[0]), Pick::Rotate);
    director.add(service, at(REAL[0]), Method::Nat, 1);
    use_pool(&mut director, pool(OWN[0], 1, (1024, 11_023)));
    let mut refused = 0;
    for client in 0..9_000_u32 {
        let [.., high, low] = client.to_be_bytes();
        let client = format!("198.51.{high}.{low}:40000");
        let (verdict, _) = director.handle(&Draft::udp(&client, FIRST[0]).frame());
        refused += u32::from(verdict.reason() != Some(Reason::Nat));
    }
    assert!(refused <= 5, "{refused}");
}

#[test]
fn without_an_address_of_the_route_nothing_leaves() {
    let mut director = full(Protocol::Tcp, 0, by_route());
    let first = Draft::tcp(CLIENT[0], FIRST[0], SYN);
    director.hops[1].source4 = [0; 4];
    let (verdict, _) = director.handle(&first.frame());
    assert_eq!(verdict.reason(), Some(Reason::Unresolved));
    assert_eq!(entries(&director), 0);
}

#[test]
fn a_full_table_is_a_full_table() {
    let mut director = Director::with_sets(1);
    let service = director.serve(Protocol::Tcp, at(FIRST[0]), Pick::Rotate);
    director.add(service, at(REAL[0]), Method::Nat, 1);
    use_pool(&mut director, pool(OWN[0], 1, (2000, 2999)));
    for client in 0..4 {
        let client = format!("198.51.100.{client}:40000");
        let first = Draft::tcp(&client, FIRST[0], SYN);
        let seen = ask(&director, &first, REAL[0]);
        let accepted = Draft::tcp(REAL[0], &seen.to_string(), SYN | ACK);
        director.handle(&accepted.frame());
        for _ in 0..2 {
            ask(&director, &Draft::tcp(&client, FIRST[0], ACK), REAL[0]);
        }
        answer(&director, Protocol::Tcp, seen, &first, REAL[0]);
    }
    // Only connections that carried packets over some time stay when there is no room.
    director.clock.fetch_add(PROVEN_TIME, SeqCst);
    for client in 0..4 {
        let client = format!("198.51.100.{client}:40000");
        ask(&director, &Draft::tcp(&client, FIRST[0], ACK), REAL[0]);
    }
    let more = Draft::tcp("198.51.100.99:40000", FIRST[0], SYN);
    let (verdict, _) = director.handle(&more.frame());
    assert_eq!(verdict.reason(), Some(Reason::TableFull));
}

#[test]
fn fragments_have_the_source_of_their_connection() {
    for family in 0..2 {
        let director = full(Protocol::Udp, family, pool(OWN[family], 1, (2000, 2999)));
        let whole = Draft::udp(CLIENT[family], FIRST[family]).sized(1400);
        let seen = ask(&director, &whole, REAL[family]);
        for fragment in [(0, 800), (800, 608)] {
            let piece = whole.clone().with(|draft| draft.fragment = Some(fragment));
            let (verdict, after) = director.handle(&piece.frame());
            assert_eq!(verdict.reason(), Some(Reason::Nat));
            let expected = piece.with(|draft| {
                draft.from = seen;
                draft.to = at(REAL[family]);
            });
            assert_eq!(after, expected.forwarded().frame());
        }
    }
}

#[test]
fn a_redispatched_connection_gets_a_source_for_its_new_server() {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at(FIRST[0]), Pick::Rotate);
    director.add(service, at(REAL[0]), Method::Nat, 1);
    director.add(service, at("10.0.0.2:8080"), Method::Nat, 1);
    use_pool(&mut director, pool(OWN[0], 1, (2000, 2999)));
    director.edit(service, |plan, _| {
        plan.flags |= Plan::REDISPATCH;
    });
    let first = Draft::tcp(CLIENT[0], FIRST[0], SYN);
    let seen = ask(&director, &first, REAL[0]);
    let again = ask(&director, &first, "10.0.0.2:8080");
    assert_eq!(seen.ip(), again.ip());
    assert_eq!(entries(&director), 2);
    answer(&director, Protocol::Tcp, again, &first, "10.0.0.2:8080");
}

#[test]
fn an_orphan_of_full_nat_is_reset_or_scheduled_anew() {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at(FIRST[0]), Pick::Rotate);
    director.add(service, at(REAL[0]), Method::Nat, 1);
    director.add(service, at("10.0.0.2:8080"), Method::Nat, 1);
    use_pool(&mut director, pool(OWN[0], 1, (2000, 2999)));
    let first = Draft::tcp(CLIENT[0], FIRST[0], SYN);
    let seen = ask(&director, &first, REAL[0]);
    answer(&director, Protocol::Tcp, seen, &first, REAL[0]);
    ask(&director, &Draft::tcp(CLIENT[0], FIRST[0], ACK), REAL[0]);
    director.servers[0].flags = Server::DOWN;
    let (verdict, _) = director.handle(&Draft::tcp(CLIENT[0], FIRST[0], ACK).frame());
    assert_eq!(verdict.reason(), Some(Reason::Reset));
    ask(&director, &first, "10.0.0.2:8080");
    assert_eq!(entries(&director), 2);
}

#[test]
fn persistent_clients_get_sources_too() {
    let mut director = full(Protocol::Tcp, 0, pool(OWN[0], 1, (2000, 2999)));
    director.edit(0, |plan, _| (plan.persistence, plan.prefix) = (300, 32));
    for port in 40_000..40_003 {
        let client = format!("198.51.100.7:{port}");
        let first = Draft::tcp(&client, FIRST[0], SYN);
        let seen = ask(&director, &first, REAL[0]);
        assert_eq!(seen.ip(), at(OWN[0]).ip());
        answer(&director, Protocol::Tcp, seen, &first, REAL[0]);
    }
}
