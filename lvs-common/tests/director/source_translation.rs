//! The source that a real server sees: another port where two connections would be one for it, and addresses of the
//! director's by full NAT.

use std::collections::HashSet;
use std::net::SocketAddr;

use lvs_common::abi::{Method, Pick, SourcePool};
use lvs_common::connection::{Kind, Protocol};
use lvs_common::verdict::{Action, Reason};
use proptest::prelude::*;

use super::frames::{ACK, Draft, FIN, RST, SYN, at, wide};
use super::memory::Director;

#[path = "source_translation/full_nat.rs"]
mod full_nat;
#[path = "source_translation/related_icmp.rs"]
mod related_icmp;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const FIRST: [&str; 2] = ["192.0.2.1:8001", "[2001:db8:1::1]:8001"];
const SECOND: [&str; 2] = ["192.0.2.2:80", "[2001:db8:1::2]:80"];
const REAL: [&str; 2] = ["10.0.0.1:8080", "[2001:db8:2::1]:8080"];
const OWN: [&str; 2] = ["10.0.0.254:0", "[2001:db8:2::fe]:0"];
/// The source address of the hop that every server has.
const ROUTE: [&str; 2] = ["192.0.2.250:0", "[2001:db8::fa]:0"];
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
