//! Schedulers: who gets the next connection.

use std::collections::HashSet;

use lvs_common::abi::{Load, Method, Pick, Plan};
use lvs_common::connection::{Loads as _, Protocol};
use lvs_common::family::V6;
use lvs_common::scheduler::{
    Flow, LocalitySearch, NO_SERVER, Search, fold, note_threshold, pick, pick_stateless,
};
use lvs_common::tables::Tables;
use proptest::prelude::*;

use super::frames::at;
use super::memory::{Director, PICKS};

/// Weight, active and inactive connections.
type Server = (u32, u32, u32);

/// The search's definition over servers in the order of the list.
type Definition = fn(&[Server]) -> Option<u32>;

const DEFINITIONS: [(Pick, Definition); 6] = [
    (Pick::Least, |servers| {
        least(servers, |(_, active, inactive)| {
            ((active * 256 + inactive).into(), 1)
        })
    }),
    (Pick::WeightedLeast, |servers| {
        least(servers, |(weight, active, inactive)| {
            ((active * 256 + inactive).into(), weight.into())
        })
    }),
    (Pick::ShortestDelay, |servers| {
        least(servers, |(weight, active, _)| {
            ((active + 1).into(), weight.into())
        })
    }),
    (Pick::NeverQueue, |servers| {
        let idle = |(_, (weight, active, _)): &(u32, &Server)| *weight > 0 && *active == 0;
        let first = (0..).zip(servers).find(idle);
        first.map(|(number, _)| number).or_else(|| {
            least(servers, |(weight, active, _)| {
                ((active + 1).into(), weight.into())
            })
        })
    }),
    (Pick::Failover, |servers| {
        least(servers, |(weight, ..)| (-i64::from(weight), 1))
    }),
    (Pick::Overflow, |servers| {
        let full = |(weight, active, _): &Server| active > weight;
        let rest = servers
            .iter()
            .map(|server| if full(server) { (0, 0, 0) } else { *server });
        let rest: Vec<_> = rest.collect();
        least(&rest, |(weight, ..)| (-i64::from(weight), 1))
    }),
];

/// The first of those with the least quotient that weigh anything.
fn least(servers: &[Server], quotient: fn(Server) -> (i64, i64)) -> Option<u32> {
    let mut best: Option<(u32, (i64, i64))> = None;
    for (number, server) in (0..).zip(servers) {
        let (dividend, divisor) = quotient(*server);
        let better = best.is_none_or(|(_, (above, below))| above * divisor > dividend * below);
        if server.0 > 0 && better {
            best = Some((number, (dividend, divisor)));
        }
    }
    best.map(|(number, _)| number)
}

fn director(kind: Pick, weights: &[u32]) -> Director {
    let mut director = Director::with_sets(1);
    let service = director.serve(Protocol::Tcp, at("192.0.2.1:80"), kind);
    for weight in weights {
        director.add(service, at("10.0.0.1:80"), Method::Direct, *weight);
    }
    director
}

fn flow(source: u32, port: u16) -> Flow {
    let hash = source.wrapping_mul(0x9e37_79b9) ^ u32::from(port);
    Flow {
        source,
        destination: source.swap_bytes(),
        port,
        hash,
    }
}

fn picked(director: &Director, flow: &Flow) -> Option<u32> {
    let plan = Tables::plan(director, 0)?;
    pick(
        director,
        plan,
        flow,
        &mut Search::new(NO_SERVER),
        &mut LocalitySearch::new(),
    )
    .map(|(_, member)| member.server)
}

proptest! {
    #[test]
    fn a_rotating_table_serves_by_weight(weights in prop::collection::vec(0_u32..6, 1..8)) {
        let director = director(Pick::Rotate, &weights);
        let total: u32 = weights.iter().sum();
        let mut counts = vec![0; weights.len()];
        for index in 0..3 * total {
            counts[picked(&director, &flow(index, 1)).expect("some weigh") as usize] += 1;
        }
        let expected: Vec<u32> = weights.iter().map(|weight| 3 * weight).collect();
        prop_assert_eq!(counts, expected);
        if total == 0 {
            prop_assert_eq!(picked(&director, &flow(0, 1)), None);
        }
    }

    #[test]
    fn nobody_picks_a_server_that_takes_none(
        weights in prop::collection::vec(0_u32..3, 1..8),
        source: u32,
        port: u16,
    ) {
        for kind in PICKS {
            let mut director = director(kind, &weights);
            for flags in [0, Plan::FLAG_1, Plan::FLAG_2, Plan::FLAG_1 | Plan::FLAG_2] {
                director.edit(0, |plan, _| plan.flags = flags);
                let flow = flow(source, port);
                let plan = Tables::plan(&director, 0).expect("a plan");
                let mut search = Search::new(NO_SERVER);
                let found = pick(&director, plan, &flow, &mut search, &mut LocalitySearch::new());
                let found = [found, pick_stateless(&director, plan, &flow, &mut search)];
                for (place, member) in found.into_iter().flatten() {
                    prop_assert!(member.weight > 0);
                    prop_assert_eq!(Tables::member(&director, place), Some(member));
                }
            }
        }
    }

    #[test]
    fn a_search_finds_the_server_that_its_definition_names(
        servers in prop::collection::vec((0_u32..5, 0_u32..6, 0_u32..400), 1..18),
    ) {
        for (kind, definition) in DEFINITIONS {
            let weights: Vec<_> = servers.iter().map(|(weight, ..)| *weight).collect();
            let director = director(kind, &weights);
            for (number, &(_, active, inactive)) in (0..).zip(&servers) {
                let load = Load::ACTIVE * u64::from(active) + Load::INACTIVE * u64::from(inactive);
                director.account(number, load);
            }
            let found = picked(&director, &flow(7, 1));
            prop_assert_eq!(found, definition(&servers), "{:?}", kind);
        }
    }

    #[test]
    fn a_tree_follows_its_servers_loads(
        weights in prop::collection::vec(0_u32..5, 9..150),
        changes in prop::collection::vec((any::<u16>(), 0_u32..4), 1..120),
    ) {
        for (kind, definition) in DEFINITIONS {
            let director = director(kind, &weights);
            let mut servers: Vec<_> = weights.iter().map(|weight| (*weight, 0, 0)).collect();
            for (server, active) in &changes {
                let server = usize::from(*server) % weights.len();
                let number = u32::try_from(server).expect("few");
                let before = director.connections(number).0;
                let change = u64::from(*active).wrapping_sub(before.into());
                director.account(number, Load::ACTIVE.wrapping_mul(change));
                servers[server].1 = *active;
                let found = picked(&director, &flow(7, 1));
                prop_assert_eq!(found, definition(&servers), "{:?}", kind);
                // Who was picked gets a connection.
                if let Some(found) = found {
                    director.account(found, Load::INACTIVE);
                    servers[found as usize].2 += 1;
                }
            }
        }
    }

    #[test]
    fn a_hash_picks_the_same_server_again(source: u32, port: u16, other: u16) {
        for kind in [Pick::SourceHash, Pick::DestinationHash, Pick::Maglev] {
            let director = director(kind, &[3, 1, 2]);
            let first = picked(&director, &flow(source, port));
            prop_assert!(first.is_some());
            prop_assert_eq!(first, picked(&director, &flow(source, other)));
        }
    }

    #[test]
    fn without_state_every_scheduler_picks_the_same_server_again(source: u32, port: u16) {
        for kind in PICKS {
            let director = director(kind, &[1, 1, 1]);
            let plan = Tables::plan(&director, 0).expect("a plan");
            let once = || {
                let mut search = Search::new(NO_SERVER);
                let picked = pick_stateless(&director, plan, &flow(source, port), &mut search);
                picked.map(|(place, _)| place)
            };
            let first = once();
            director.account(0, 100);
            prop_assert!(first.is_some());
            prop_assert_eq!(first, once());
        }
    }
}

#[test]
fn hashes_use_every_server_and_the_port_if_asked() {
    for kind in [Pick::SourceHash, Pick::Maglev] {
        let mut director = director(kind, &[1, 1, 1, 1]);
        let by_source: HashSet<_> = (0..64)
            .map(|source| picked(&director, &flow(source, 1)))
            .collect();
        assert_eq!(by_source.len(), 4);
        director.edit(0, |plan, _| plan.flags = Plan::FLAG_2);
        let by_port: HashSet<_> = (0..64)
            .map(|port| picked(&director, &flow(7, port)))
            .collect();
        assert_eq!(by_port.len(), 4);
    }
}

#[test]
fn a_hashs_fallback_moves_only_the_flows_of_the_server_that_is_gone() {
    for kind in [Pick::SourceHash, Pick::Maglev] {
        let director = director(kind, &[1, 1, 1, 1]);
        let all = |director: &Director| -> Vec<_> {
            (0..256)
                .map(|source| picked(director, &flow(source, 1)))
                .collect()
        };
        let before = all(&director);
        for fallback in [false, true] {
            let mut with_slots = self::director(kind, &[1, 1, 1, 1]);
            with_slots.edit(0, |plan, members| {
                plan.flags = if fallback { Plan::FLAG_1 } else { 0 };
                members[2].upper = 1;
            });
            with_slots.account(2, Load::ACTIVE);
            for (before, after) in before.iter().zip(all(&with_slots)) {
                match (before, fallback) {
                    (Some(2), false) => assert_eq!(after, None),
                    (Some(2), true) => assert!(after.is_some() && after != Some(2)),
                    _ => assert_eq!(*before, after),
                }
            }
        }
    }
}

#[test]
fn least_connections_go_where_the_fewest_are() {
    let director = director(Pick::Least, &[1, 9, 0, 1]);
    director.account(0, Load::ACTIVE * 2);
    director.account(1, Load::ACTIVE * 3);
    director.account(3, Load::ACTIVE * 2 + Load::INACTIVE);
    assert_eq!(picked(&director, &flow(1, 1)), Some(0));
    // An inactive connection weighs a 256th of an active one.
    director.account(0, Load::INACTIVE * 2);
    assert_eq!(picked(&director, &flow(1, 1)), Some(3));
    director.account(0, Load::INACTIVE * 255);
    director.account(3, Load::ACTIVE);
    assert_eq!(picked(&director, &flow(1, 1)), Some(1));
}

#[test]
fn weighted_least_connections_end_up_at_the_weights() {
    let weights = [1, 2, 0, 5];
    let director = director(Pick::WeightedLeast, &weights);
    for index in 0..800 {
        let server = picked(&director, &flow(index, 1)).expect("three take connections");
        director.account(server, Load::ACTIVE);
    }
    let active: Vec<u32> = (0..4)
        .map(|server| director.connections(server).0)
        .collect();
    assert_eq!(active, [100, 200, 0, 500]);
}

#[test]
fn of_two_random_servers_the_one_with_less_is_picked() {
    let weights = [1, 2, 0, 5];
    let director = director(Pick::TwoRandom, &weights);
    for index in 0..8_000 {
        let server = picked(&director, &flow(index, 1)).expect("three take connections");
        director.account(server, Load::ACTIVE);
    }
    for (server, share) in [(0, 1000), (1, 2000), (2, 0), (3, 5000)] {
        let active = director.connections(server).0;
        let tolerance = share / 20;
        assert!(active.abs_diff(share) <= tolerance, "{server}: {active}");
    }
    // The one with the least may be none of the two.
    let idle = self::director(Pick::TwoRandom, &[1, 1, 1, 1]);
    idle.account(0, Load::ACTIVE);
    let picks: HashSet<_> = (0..256)
        .map(|source| picked(&idle, &flow(source, 1)))
        .collect();
    assert_eq!(picks.len(), 4);
}

#[test]
fn a_tree_passes_by_a_server_whose_last_connection_came_to_nothing() {
    let mut director = director(Pick::WeightedLeast, &[1; 30]);
    director.edit(0, |_, members| {
        for member in members {
            member.upper = 8;
        }
    });
    for server in 0..30 {
        director.account(server, Load::ACTIVE * 7);
    }
    for server in 0..30 {
        assert_eq!(picked(&director, &flow(1, 1)), Some(server));
        // It reaches its threshold, but there is no room for the connection.
        let plan = Tables::plan(&director, 0).expect("a plan");
        let member = Tables::member(&director, plan.members + server).expect("a member");
        note_threshold(&director, member);
    }
}

#[test]
fn an_overflow_service_has_no_server_when_all_are_full() {
    let director = director(Pick::Overflow, &[2, 3]);
    let mut picks = Vec::new();
    while let Some(server) = picked(&director, &flow(1, 1)) {
        director.account(server, Load::ACTIVE);
        picks.push(server);
    }
    assert_eq!(picks, [1, 1, 1, 1, 0, 0, 0]);
}

fn flow_to(destination: u32) -> Flow {
    Flow {
        destination,
        ..flow(7, 1)
    }
}

/// The servers of so many connections to a destination, each established and held.
fn held(director: &Director, destination: u32, count: usize) -> Vec<u32> {
    let picks = (0..count).map(|_| {
        let server = picked(director, &flow_to(destination)).expect("a server");
        director.account(server, Load::ACTIVE);
        server
    });
    picks.collect()
}

#[test]
fn a_destination_stays_with_its_server_until_that_is_overloaded_and_another_idle() {
    let director = director(Pick::Locality, &[2, 2, 5]);
    // wlc: the first of equals, then the least loaded of the others.
    assert_eq!(held(&director, 1, 3), [0, 0, 0]);
    assert_eq!(held(&director, 2, 1), [1]);
    // Three are more than two, and there is an idle one.
    assert_eq!(held(&director, 1, 3), [2, 2, 2]);
    // The third has more than half of what it weighs, so that nobody is idle but the second.
    director.account(1, Load::ACTIVE * 2);
    assert_eq!(held(&director, 1, 4), [2, 2, 2, 2]);
    assert_eq!(held(&director, 2, 1), [1]);
}

#[test]
fn a_set_gets_a_server_more_when_its_least_loaded_is_overloaded_and_another_idle() {
    let mut director = director(Pick::LocalitySet, &[1, 1, 1]);
    assert_eq!(held(&director, 1, 6), [0, 0, 1, 1, 2, 2]);
    // All are in the set now: the newest of equals is the least loaded.
    assert_eq!(held(&director, 1, 3), [2, 1, 0]);
    director.account(2, 0_u64.wrapping_sub(Load::ACTIVE));
    assert_eq!(held(&director, 1, 1), [2]);
    // A server that takes none is passed by, and is known again when it does.
    director.edit(0, |_, members| members[2].weight = 0);
    assert_eq!(held(&director, 1, 1), [1]);
    // After a day without a change the set loses the most loaded.
    director.edit(0, |_, members| members[2].weight = 1);
    director.account(0, Load::ACTIVE * 9);
    for _ in 0..25 {
        director.pass_time(60 * 60);
        assert_eq!(picked(&director, &flow_to(1)), Some(2));
    }
    director.account(0, 0_u64.wrapping_sub(Load::ACTIVE * 10));
    assert_eq!(director.connections(0), (2, 0));
    assert_eq!(picked(&director, &flow_to(1)), Some(2));
    // After a day without a connection it is forgotten.
    director.pass_time(25 * 60 * 60);
    assert_eq!(picked(&director, &flow_to(1)), Some(0));
}

#[test]
fn a_server_that_is_deleted_and_returns_has_its_place_in_the_set() {
    let mut director = director(Pick::LocalitySet, &[1, 1, 1]);
    assert_eq!(held(&director, 1, 6), [0, 0, 1, 1, 2, 2]);
    let mut deleted = None;
    director.edit(0, |_, members| deleted = members.pop());
    assert_eq!(held(&director, 1, 1), [1]);
    director.edit(0, |_, members| members.extend(deleted));
    assert_eq!(held(&director, 1, 1), [2]);
}

#[test]
fn a_full_set_has_room_for_a_server_once_others_are_deleted() {
    let mut director = director(Pick::LocalitySet, &[1; 13]);
    let twice = |server: u32| [server, server];
    let first: Vec<_> = (0..12).flat_map(twice).collect();
    assert_eq!(held(&director, 1, 24), first);
    director.edit(0, |_, members| drop(members.drain(3..12)));
    assert_eq!(held(&director, 1, 2), twice(12));
    // Those that are left are known still: all are alike, and the newest is the first.
    assert_eq!(held(&director, 1, 4), [12, 2, 1, 0]);
}

#[test]
fn an_ipv6_address_is_folded_by_exclusive_or() {
    let address = [1, 2, 3, 4, 16, 32, 48, 64, 0, 0, 0, 0, 0, 0, 0, 5];
    assert_eq!(fold::<V6>(address), 0x1122_3341);
}
