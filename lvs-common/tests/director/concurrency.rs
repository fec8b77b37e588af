//! Many threads on one small table: no key twice, no way stuck, no connection counted wrongly.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use lvs_common::abi::{Load, Method, Pick};
use lvs_common::connection::table::{self, Refused};
use lvs_common::connection::{Kind, Loads as _, Protocol};
use lvs_common::family::V4;
use lvs_common::scheduler::{Flow, LocalitySearch, NO_SERVER, Search, pick};
use lvs_common::tables::Tables;

use super::frames::{ACK, Draft, FIN, RST, SYN, at};
use super::hashing::{key4, new, place};
use super::memory::Director;

const THREADS: u32 = 4;

/// What must hold of a table that nobody is using at the moment.
fn is_whole(director: &Director) {
    let mut keys = HashSet::new();
    let mut connections = 0;
    for (tag, key, _) in director
        .sets4()
        .iter()
        .flat_map(super::memory_sets::Set::taken)
    {
        assert!(tag.is_live(), "a way is stuck");
        let ports = key.ports.to_bytes();
        assert!(
            keys.insert((key.source, key.destination, ports, key.kind)),
            "twice: {key:?}"
        );
        connections += u32::from(key.kind == Kind::Request as u8);
    }
    let mut counted = (0, 0);
    for server in 0..u32::try_from(director.servers.len()).expect("few") {
        let (active, inactive) = director.connections(server);
        counted = (counted.0 + active, counted.1 + inactive);
    }
    let active = director
        .states()
        .into_iter()
        .filter(|(_, state)| matches!(*state, "ESTABLISHED" | "SYN_SENT" | "SYN_RECV" | "SYNACK"));
    assert_eq!(counted.0 as usize, active.count());
    assert_eq!(counted.0 + counted.1, connections);
}

#[test]
fn a_tree_knows_the_best_once_its_servers_loads_are_at_rest() {
    const SERVERS: u32 = 70;
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at("192.0.2.1:80"), Pick::WeightedLeast);
    for server in 0..SERVERS {
        director.add(service, at("10.0.0.1:80"), Method::Direct, 1 + server % 3);
    }
    let flow = Flow {
        source: 1,
        destination: 2,
        port: 3,
        hash: 4,
    };
    let best = || {
        let plan = Tables::plan(&director, service).expect("a plan");
        let found = pick(
            &director,
            plan,
            &flow,
            &mut Search::new(NO_SERVER),
            &mut LocalitySearch::new(),
        );
        found.map(|(_, member)| member.server)
    };
    let by_walk = || {
        let cost = |server: &u32| {
            let (active, inactive) = director.connections(*server);
            // Of equals the first: a minimum is.
            (active * 256 + inactive) * 6 / (1 + server % 3)
        };
        (0..SERVERS).min_by_key(cost)
    };
    for round in 0..200 {
        let barrier = Barrier::new(THREADS as usize);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (director, barrier) = (&director, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for turn in 0..40 {
                        let server = best().expect("all take connections");
                        director.account(server, Load::ACTIVE);
                        let other = (turn * 7 + thread * 13 + round) % SERVERS;
                        director.account(other, Load::INACTIVE);
                    }
                });
            }
        });
        assert_eq!(best(), by_walk(), "round {round}");
    }
}

#[test]
fn of_threads_that_insert_or_remove_one_key_exactly_one_does() {
    let director = super::hashing::table(8);
    let barrier = Barrier::new(THREADS as usize);
    let (inserted, removed, refused) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..4_000 {
                    let key = key4(round % 7, 1);
                    let place = place(&director, &key);
                    barrier.wait();
                    match table::insert(&director, place, &mut new(key, false)) {
                        Ok(_) => _ = inserted.fetch_add(1, SeqCst),
                        Err(Refused::Exists) => {}
                        Err(Refused::Full) => _ = refused.fetch_add(1, SeqCst),
                    }
                    barrier.wait();
                    if let Some(slot) = table::find(&director, &key, place) {
                        barrier.wait();
                        removed.fetch_add(
                            u32::from(table::remove::<V4, &Director>(&director, &slot)),
                            SeqCst,
                        );
                    } else {
                        barrier.wait();
                    }
                    barrier.wait();
                    assert!(table::find(&director, &key, place).is_none());
                }
            });
        }
    });
    let inserted = inserted.into_inner();
    assert_eq!(inserted, removed.into_inner());
    assert_eq!(director.connections(0), (0, 0));
    // Rivals that yield to each other too often may all give up; that is a lost first packet.
    assert!(
        (3_900..=4_000).contains(&inserted),
        "{inserted}, {refused:?} refused"
    );
    is_whole(&director);
}

/// Every thread plays clients and servers of the same few flows while the clock runs.
fn play(method: Method, sets: u32, seconds: u32) -> Director {
    let mut director = Director::with_sets(sets);
    let service = director.serve(Protocol::Tcp, at("192.0.2.1:80"), Pick::Rotate);
    for server in 1..=4 {
        director.add(service, at(&format!("10.0.0.{server}:80")), method, 1);
    }
    let mut frames = Vec::new();
    for client in 1..=24 {
        let client = format!("198.51.100.7:{client}");
        for flags in [SYN, ACK, SYN, FIN, RST, SYN, ACK] {
            frames.push(Draft::tcp(&client, "192.0.2.1:80", flags).frame());
        }
        for server in 1..=4 {
            let server = format!("10.0.0.{server}:80");
            frames.push(Draft::tcp(&server, &client, [ACK, FIN, RST][server.len() % 3]).frame());
        }
    }
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (director, frames) = (&director, &frames);
            scope.spawn(move || {
                let mut random = u64::from(thread) + 1;
                for turn in 0..6_000 {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let index = usize::try_from(random >> 40).expect("24 bits") % frames.len();
                    director.handle(&frames[index]);
                    if turn % 100 == 0 {
                        director.pass_time(seconds);
                    }
                }
            });
        }
    });
    director
}

#[test]
fn the_table_stays_whole_under_any_mixture_of_packets() {
    for method in [Method::Direct, Method::Nat] {
        for sets in [1, 2, 5, 16] {
            for seconds in [0, 3] {
                is_whole(&play(method, sets, seconds));
            }
        }
    }
}

#[test]
fn what_was_left_over_expires_without_a_trace() {
    let director = play(Method::Nat, 5, 1);
    director.pass_time(1_000);
    for client in 1..=24 {
        let client = format!("198.51.100.7:{client}");
        director.handle(&Draft::tcp(&client, "192.0.2.1:80", ACK).frame());
    }
    assert_eq!(director.states(), []);
    for server in 0..4 {
        assert_eq!(director.connections(server), (0, 0));
    }
    // A connection that was recycled while it was being entered may leave its reply entry behind:
    // nobody finds a connection by it, and the daemon's sweep frees it.
    for (_, key, _) in director
        .sets4()
        .iter()
        .flat_map(super::memory_sets::Set::taken)
    {
        assert_eq!(key.kind, Kind::Reply as u8);
    }
}

/// Clients of one port each talk to two services of the same server from many threads at once, by NAT or (with a pool)
/// full NAT.
#[test]
fn threads_that_want_one_source_all_get_their_own() {
    for pool in [false, true] {
        for round in 0..100 {
            // So many sets that none has half-open connections to recycle.
            let mut director = Director::with_sets(1024);
            let services = [
                "192.0.2.1:80",
                "192.0.2.2:80",
                "192.0.2.3:80",
                "192.0.2.4:80",
            ];
            for address in services {
                let service = director.serve(Protocol::Tcp, at(address), Pick::Rotate);
                director.add(service, at("10.0.0.1:8080"), Method::Nat, 1);
            }
            if pool {
                director.source_pools.push(lvs_common::abi::SourcePool {
                    first: super::frames::wide(at("10.0.0.254:0").ip()),
                    addresses: 1,
                    first_port: 2000,
                    last_port: 2031,
                    flags: 0,
                    reserved: 0,
                });
                for server in &mut director.servers {
                    server.source_pool = 1;
                }
            }
            let barrier = Barrier::new(THREADS as usize);
            let lost = AtomicU32::new(0);
            thread::scope(|scope| {
                for address in services {
                    let (director, barrier, lost) = (&director, &barrier, &lost);
                    scope.spawn(move || {
                        for client in 0..4 {
                            let client = format!("198.51.100.{client}:{}", 40_000 + round);
                            let frame = Draft::tcp(&client, address, SYN).frame();
                            barrier.wait();
                            let (verdict, _) = director.handle(&frame);
                            lost.fetch_add(u32::from(!verdict.is_forwarded()), SeqCst);
                        }
                    });
                }
            });
            assert_eq!(lost.into_inner(), 0, "pool: {pool}");
            assert_eq!(director.states().len(), 16);
            is_whole(&director);
        }
    }
}
