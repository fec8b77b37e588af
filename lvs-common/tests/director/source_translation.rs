//! The source that a real server sees: another port where two connections would be one for it, and addresses of the
//! director's by full NAT.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;

use lvs_common::abi::{Method, Pick, SourcePool};
use lvs_common::connection::table::PROVEN_TIME;
use lvs_common::connection::{Kind, Protocol};
use lvs_common::verdict::{Action, Reason};
use proptest::prelude::*;

use super::frames::{ACK, Draft, FIN, RST, SYN, at, wide};
use super::memory::Director;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const FIRST: [&str; 2] = ["192.0.2.1:8001", "[2001:db8:1::1]:8001"];
const SECOND: [&str; 2] = ["192.0.2.2:80", "[2001:db8:1::2]:80"];
const REAL: [&str; 2] = ["10.0.0.1:8080", "[2001:db8:2::1]:8080"];
const OWN: [&str; 2] = ["10.0.0.254:0", "[2001:db8:2::fe]:0"];
/// The source address of the hop that every server has.
const ROUTE: [&str; 2] = ["192.0.2.250:0", "[2001:db8::fa]:0"];
const ROUTER: [&str; 2] = ["203.0.113.254:0", "[2001:db8:f::fe]:0"];
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

fn draft(protocol: Protocol, from: &str, to: &str) -> Draft {
    match protocol {
        Protocol::Tcp => Draft::tcp(from, to, SYN),
        Protocol::Udp => Draft::udp(from, to),
        Protocol::Sctp => Draft::sctp(from, to, 1),
    }
}

/// Later packets of a connection.
fn later(protocol: Protocol, from: &str, to: &str) -> Draft {
    match protocol {
        Protocol::Tcp => Draft::tcp(from, to, ACK),
        Protocol::Udp => Draft::udp(from, to).sized(700),
        Protocol::Sctp => Draft::sctp(from, to, 0),
    }
}

/// Two virtual services with the same real server.
fn shared(protocol: Protocol, family: usize) -> Director {
    let mut director = Director::new();
    for to in [FIRST, SECOND] {
        let service = director.serve(protocol, at(to[family]), Pick::Rotate);
        director.add(service, at(REAL[family]), Method::Nat, 1);
    }
    director
}

/// A virtual service behind full NAT.
fn full(protocol: Protocol, family: usize, pool: SourcePool) -> Director {
    let mut director = Director::new();
    let service = director.serve(protocol, at(FIRST[family]), Pick::Rotate);
    director.add(service, at(REAL[family]), Method::Nat, 1);
    use_pool(&mut director, pool);
    director
}

fn use_pool(director: &mut Director, pool: SourcePool) {
    director.source_pools.push(pool);
    for server in &mut director.servers {
        server.source_pool = 1;
    }
}

fn pool(first: &str, addresses: u32, ports: (u16, u16)) -> SourcePool {
    SourcePool {
        first: wide(at(first).ip()),
        addresses,
        first_port: ports.0,
        last_port: ports.1,
        flags: 0,
        reserved: 0,
    }
}

fn by_route() -> SourcePool {
    SourcePool {
        flags: SourcePool::ROUTE,
        ..pool("0.0.0.0:0", 1, (1024, 32767))
    }
}

/// Source address and port of a frame that was forwarded.
fn source(frame: &[u8]) -> SocketAddr {
    let v4 = frame[12..14] == [8, 0];
    let port = |place: usize| u16::from_be_bytes([frame[place], frame[place + 1]]);
    if v4 {
        let address: [u8; 4] = frame[26..30].try_into().expect("four bytes");
        SocketAddr::new(address.into(), port(34))
    } else {
        let address: [u8; 16] = frame[22..38].try_into().expect("sixteen bytes");
        SocketAddr::new(address.into(), port(54))
    }
}

/// Sends a packet to the server; returns the source that it sees, after all bytes were compared.
fn ask(director: &Director, draft: &Draft, real: &str) -> SocketAddr {
    let (verdict, after) = director.handle(&draft.frame());
    assert_eq!(verdict.action(), Action::Transmit, "{draft:?}");
    assert!(
        matches!(verdict.reason(), Some(Reason::Nat | Reason::Rescheduled)),
        "{draft:?}: {verdict:?}"
    );
    let seen = source(&after);
    let expected = draft.clone().with(|draft| {
        draft.from = seen;
        draft.to = at(real);
    });
    assert_eq!(after, expected.forwarded().frame(), "{draft:?}");
    seen
}

/// Has the server answer what it saw, and the client get it from the virtual address.
fn answer(director: &Director, protocol: Protocol, seen: SocketAddr, draft: &Draft, real: &str) {
    let reply = later(protocol, real, &seen.to_string());
    let (verdict, after) = director.handle(&reply.frame());
    assert_eq!(verdict.reason(), Some(Reason::NatReply), "{reply:?}");
    let expected = reply.with(|reply| {
        reply.from = draft.to;
        reply.to = draft.from;
    });
    assert_eq!(after, expected.returned().frame());
}

#[test]
fn one_client_port_talks_to_two_services_on_one_server_at_the_same_time() {
    for protocol in PROTOCOLS {
        for family in 0..2 {
            let (client, real) = (CLIENT[family], REAL[family]);
            let director = shared(protocol, family);
            let one = draft(protocol, client, FIRST[family]);
            let other = draft(protocol, client, SECOND[family]);
            let (first, second) = (ask(&director, &one, real), ask(&director, &other, real));
            assert_eq!(first, at(client), "nothing is translated without need");
            assert_eq!(second.ip(), first.ip());
            assert_ne!(second.port(), first.port());
            assert!(second.port() >= 1024);
            for _ in 0..3 {
                answer(&director, protocol, second, &other, real);
                answer(&director, protocol, first, &one, real);
                let again = |to: &str, expected| {
                    let packet = later(protocol, client, to);
                    assert_eq!(ask(&director, &packet, real), expected);
                };
                again(FIRST[family], first);
                again(SECOND[family], second);
                if protocol == Protocol::Udp {
                    continue;
                }
                // As it was repeated.
                assert_eq!(ask(&director, &other, real), second);
            }
            assert_eq!(director.connections(0).0 + director.connections(0).1, 1);
            assert_eq!(director.connections(1).0 + director.connections(1).1, 1);
        }
    }
}

#[test]
fn a_port_that_is_free_again_is_not_translated() {
    let director = shared(Protocol::Tcp, 0);
    let one = Draft::tcp(CLIENT[0], FIRST[0], SYN);
    ask(&director, &one, REAL[0]);
    for packet in [ACK, FIN] {
        ask(&director, &Draft::tcp(CLIENT[0], FIRST[0], packet), REAL[0]);
    }
    // FIN_WAIT: its server may still hold the port.
    let other = Draft::tcp(CLIENT[0], SECOND[0], SYN);
    assert_ne!(ask(&director, &other, REAL[0]), at(CLIENT[0]));
    ask(&director, &Draft::tcp(CLIENT[0], SECOND[0], RST), REAL[0]);
    director.pass_time(1_000);
    assert_eq!(
        director
            .handle(&Draft::tcp(CLIENT[0], FIRST[0], ACK).frame())
            .0
            .reason(),
        Some(Reason::NoConnection)
    );
    assert_eq!(ask(&director, &other, REAL[0]), at(CLIENT[0]));
}

#[test]
fn the_end_of_a_translated_connection_frees_its_port() {
    let director = shared(Protocol::Tcp, 0);
    let other = Draft::tcp(CLIENT[0], SECOND[0], SYN);
    ask(&director, &Draft::tcp(CLIENT[0], FIRST[0], SYN), REAL[0]);
    let seen = ask(&director, &other, REAL[0]);
    ask(&director, &Draft::tcp(CLIENT[0], SECOND[0], RST), REAL[0]);
    // A new connection by the same port: scheduled anew, and with the same candidates.
    assert_eq!(ask(&director, &other, REAL[0]), seen);
    assert_eq!(entries(&director), 4);
}

/// Entries in the table of IPv4.
fn entries(director: &Director) -> usize {
    director.sets4().iter().map(|set| set.taken().count()).sum()
}

#[test]
fn a_privileged_port_stays_one() {
    let client = "198.51.100.7:513";
    let director = shared(Protocol::Tcp, 0);
    ask(&director, &Draft::tcp(client, FIRST[0], SYN), REAL[0]);
    let seen = ask(&director, &Draft::tcp(client, SECOND[0], SYN), REAL[0]);
    assert!((512..1024).contains(&seen.port()), "{seen}");
}

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

/// A packet as an error quotes it, without the transport checksum (see `related_icmp.rs`).
fn quoted(protocol: Protocol, from: &str, to: &str) -> Vec<u8> {
    let draft = draft(protocol, from, to);
    let mut packet = draft.packet();
    let header = if draft.from.is_ipv4() { 20 } else { 40 };
    packet.truncate(header + 8);
    if protocol == Protocol::Udp {
        packet[header + 6..].fill(0);
    }
    packet
}

#[test]
fn icmp_errors_follow_a_translated_connection_in_both_directions() {
    const TOO_BIG: [(u8, u8, u32); 2] = [(3, 4, 1400), (2, 0, 1400)];
    for protocol in PROTOCOLS {
        for family in 0..2 {
            let (client, real, router) = (CLIENT[family], REAL[family], ROUTER[family]);
            let collided = shared(protocol, family);
            ask(&collided, &draft(protocol, client, FIRST[family]), real);
            let full = full(protocol, family, pool(OWN[family], 1, (2000, 2999)));
            for (director, to) in [(collided, SECOND[family]), (full, FIRST[family])] {
                let seen = ask(&director, &draft(protocol, client, to), real);
                let seen_text = seen.to_string();
                assert_ne!(seen, at(client));
                // A router on the way to the client cannot forward what the server sent.
                let error = Draft::icmp(router, to, TOO_BIG[family], quoted(protocol, to, client));
                let (verdict, after) = director.handle(&error.frame());
                assert_eq!(verdict.reason(), Some(Reason::IcmpToServer));
                let about = quoted(protocol, real, &seen_text);
                let expected = Draft::icmp(router, real, TOO_BIG[family], about).with(|error| {
                    if seen.ip() != at(client).ip() {
                        error.from = seen;
                    }
                });
                assert_eq!(after, expected.forwarded().frame(), "{protocol:?} {to}");
                // The server, or a router before it, cannot use what the client sent.
                for sender in [real, router] {
                    let about = quoted(protocol, &seen_text, real);
                    let error = Draft::icmp(sender, &seen_text, TOO_BIG[family], about);
                    let (verdict, after) = director.handle(&error.frame());
                    assert_eq!(verdict.reason(), Some(Reason::IcmpToClient));
                    let about = quoted(protocol, client, to);
                    let expected = Draft::icmp(to, client, TOO_BIG[family], about);
                    assert_eq!(after, expected.returned().frame(), "{protocol:?} {to}");
                }
            }
        }
    }
}

#[test]
fn fragments_of_icmp_errors_follow_a_translated_connection() {
    const TOO_BIG: [(u8, u8, u32); 2] = [(3, 4, 1400), (2, 0, 1400)];
    let long = |from: &str, to: &str, family: usize, mut about: Vec<u8>| {
        about.resize(160, 0x77);
        Draft::icmp(from, to, TOO_BIG[family], about)
    };
    let pieces = |error: Draft| {
        [(0, 96), (96, 72)]
            .map(|fragment| error.clone().with(|error| error.fragment = Some(fragment)))
    };
    for family in 0..2 {
        let protocol = Protocol::Tcp;
        let (client, real, router) = (CLIENT[family], REAL[family], ROUTER[family]);
        let collided = shared(protocol, family);
        ask(&collided, &draft(protocol, client, FIRST[family]), real);
        let full = full(protocol, family, pool(OWN[family], 1, (2000, 2999)));
        for (director, to) in [(collided, SECOND[family]), (full, FIRST[family])] {
            let seen = ask(&director, &draft(protocol, client, to), real);
            let seen_text = seen.to_string();
            let sent = long(router, to, family, quoted(protocol, to, client));
            let about = quoted(protocol, real, &seen_text);
            let expected = long(router, real, family, about).with(|error| {
                if seen.ip() != at(client).ip() {
                    error.from = seen;
                }
            });
            for (piece, expected) in pieces(sent).into_iter().zip(pieces(expected)) {
                let (_, after) = director.handle(&piece.frame());
                assert_eq!(after, expected.forwarded().frame(), "{to}");
            }
            let sent = long(real, &seen_text, family, quoted(protocol, &seen_text, real));
            let expected = long(to, client, family, quoted(protocol, client, to));
            for (piece, expected) in pieces(sent).into_iter().zip(pieces(expected)) {
                let (_, after) = director.handle(&piece.frame());
                assert_eq!(after, expected.returned().frame(), "{to}");
            }
        }
    }
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
        plan.flags |= lvs_common::abi::Plan::REDISPATCH;
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
    director.servers[0].flags = lvs_common::abi::Server::DOWN;
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

/// A step of a client or of a server that answers whatever it was asked.
#[derive(Clone, Copy, Debug)]
enum Move {
    Ask { client: u8, second: bool, flags: u8 },
    Answer { client: u8, second: bool, flags: u8 },
    Wait(u32),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let flags = || proptest::sample::select(vec![SYN, SYN, ACK, ACK, FIN, RST]);
    let one = prop_oneof![
        4 => (0..3_u8, any::<bool>(), flags())
            .prop_map(|(client, second, flags)| Move::Ask { client, second, flags }),
        2 => (0..3_u8, any::<bool>(), flags())
            .prop_map(|(client, second, flags)| Move::Answer { client, second, flags }),
        1 => (0..100_u32).prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(300), ..ProptestConfig::default() })]

    /// Whatever happens, no two connections look alike to a server, each reply gets to the connection that the server
    /// meant, and the fast path does what the stages do.
    #[test]
    fn a_server_tells_all_connections_apart(moves in moves(), full_nat in any::<bool>()) {
        let directors = [(); 2].map(|()| {
            let mut director = shared(Protocol::Tcp, 0);
            if full_nat {
                use_pool(&mut director, pool(OWN[0], 2, (2000, 2003)));
            }
            director
        });
        let [short, long] = &directors;
        // What the server saw last of each connection.
        let mut seen = [[None; 2]; 3];
        for step in moves {
            let (frame, asked) = match step {
                Move::Wait(seconds) => {
                    short.pass_time(seconds);
                    long.pass_time(seconds);
                    continue;
                }
                Move::Ask { client, second, flags } => {
                    let from = format!("198.51.100.{client}:40000");
                    let to = if second { SECOND[0] } else { FIRST[0] };
                    (Draft::tcp(&from, to, flags).frame(), Some((client, second)))
                }
                Move::Answer { client, second, flags } => {
                    let Some(to) = seen[usize::from(client)][usize::from(second)] else {
                        continue;
                    };
                    let to: SocketAddr = to;
                    (Draft::tcp(REAL[0], &to.to_string(), flags).frame(), None)
                }
            };
            let (verdict, after) = short.handle(&frame);
            prop_assert_eq!((verdict, &after), {
                let (verdict, after) = long.handle_by_stages(&frame);
                (verdict, &after.clone())
            });
            if let (Some((client, second)), Some(Reason::Nat)) = (asked, verdict.reason()) {
                seen[usize::from(client)][usize::from(second)] = Some(source(&after));
            }
            if verdict.reason() == Some(Reason::NatReply) {
                // It comes from the virtual address that the client of this source asked.
                prop_assert!([at(FIRST[0]), at(SECOND[0])].contains(&source(&after)));
            }
            let mut replies = HashSet::new();
            for (_, key, _) in short.sets4().iter().flat_map(super::memory_sets::Set::taken) {
                if key.kind == Kind::Reply as u8 {
                    let unique = (key.source, key.destination, key.ports.to_bytes());
                    prop_assert!(replies.insert(unique), "{key:?} twice");
                }
            }
            prop_assert_eq!(short.states(), long.states());
        }
    }
}
