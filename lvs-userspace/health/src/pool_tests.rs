use proptest::prelude::*;

use super::*;

fn member(state: MemberState) -> Member {
    Member {
        state,
        backup: false,
        weight: 1,
    }
}

fn backup(state: MemberState) -> Member {
    Member {
        backup: true,
        ..member(state)
    }
}

fn rules(all_backups: bool, fallbacks: bool, quorum: &Quorum) -> Rules<'_> {
    Rules {
        all_backups,
        fallbacks,
        quorum,
    }
}

use MemberState::{Drain, Out, Unknown, Up};

#[test]
fn the_fallback_serves_only_while_nobody_else_does() {
    let (none, mut pool) = (Quorum::default(), Pool::default());
    let rules = rules(false, true, &none);
    pool.select(&rules, &[member(Up), member(Out)]);
    assert!(!pool.fallback);
    pool.select(&rules, &[member(Out), member(Out)]);
    assert!(pool.fallback);
    pool.select(&rules, &[member(Out), member(Up)]);
    assert!(!pool.fallback);
}

#[test]
fn a_start_does_not_send_clients_to_the_fallback() {
    let (none, mut pool) = (Quorum::default(), Pool::default());
    let rules = rules(false, true, &none);
    pool.select(&rules, &[member(Unknown), member(Out)]);
    assert!(!pool.fallback && !pool.empty);
    pool.select(&rules, &[member(Out), member(Out)]);
    assert!(pool.fallback);
    // Nor does a server that is new take it away.
    pool.select(&rules, &[member(Out), member(Unknown)]);
    assert!(pool.fallback);
}

#[test]
fn servers_without_weight_or_on_their_way_out_do_not_hold_the_fallback_back() {
    let (none, mut pool) = (Quorum::default(), Pool::default());
    let idle = Member {
        weight: 0,
        ..member(Up)
    };
    let selections = pool.select(&rules(false, true, &none), &[idle, member(Drain)]);
    assert_eq!(selections, [Selection::StandsBy, Selection::StandsBy]);
    assert!(pool.fallback);
}

#[test]
fn the_first_backup_that_is_up_or_all_of_them() {
    let (none, mut pool) = (Quorum::default(), Pool::default());
    let members = [member(Out), backup(Out), backup(Up), backup(Up)];
    let selections = pool.select(&rules(false, true, &none), &members);
    assert_eq!(
        selections,
        [
            Selection::Out,
            Selection::Out,
            Selection::Serves,
            Selection::StandsBy
        ]
    );
    let selections = pool.select(&rules(true, true, &none), &members);
    assert_eq!(
        selections,
        [
            Selection::Out,
            Selection::Out,
            Selection::Serves,
            Selection::Serves
        ]
    );
    assert!(!pool.fallback);
    let selections = pool.select(&rules(true, true, &none), &[member(Up), backup(Up)]);
    assert_eq!(selections, [Selection::Serves, Selection::StandsBy]);
}

#[test]
fn a_service_without_servers_and_fallback_is_empty() {
    let (none, mut pool) = (Quorum::default(), Pool::default());
    pool.select(&rules(false, false, &none), &[member(Out)]);
    assert!(pool.empty && !pool.fallback);
    pool.select(&rules(false, false, &none), &[member(Up)]);
    assert!(!pool.empty);
}

#[test]
fn a_quorum_has_hysteresis() {
    let quorum = Quorum {
        weight: 3,
        hysteresis: 1,
        ..Quorum::default()
    };
    let mut pool = Pool::default();
    let mut with = |up: usize| {
        let mut members = [member(Out); 5];
        members[..up].fill(member(Up));
        pool.select(&rules(false, false, &quorum), &members);
        pool.quorum
    };
    assert_eq!(with(3), Some(true), "the first count is without history");
    assert_eq!(with(2), Some(true));
    assert_eq!(with(1), Some(false));
    assert_eq!(with(3), Some(false));
    assert_eq!(with(4), Some(true));
}

#[test]
fn without_a_quorum_the_fallback_serves_and_the_servers_that_are_left_stand_by() {
    let quorum = Quorum {
        weight: 2,
        ..Quorum::default()
    };
    let rules = rules(false, true, &quorum);
    let mut pool = Pool::default();
    let mut with = |members: &[Member]| (pool.select(&rules, members), pool.fallback);
    let (serves, stands_by) = (Selection::Serves, Selection::StandsBy);
    // Not decided yet: the first to answer serves.
    let waits = Selection::Waits;
    assert_eq!(
        with(&[member(Up), member(Unknown)]),
        (vec![serves, waits], false)
    );
    assert_eq!(
        with(&[member(Up), member(Up)]),
        (vec![serves, serves], false)
    );
    let out = Selection::Out;
    assert_eq!(
        with(&[member(Up), member(Out)]),
        (vec![stands_by, out], true)
    );
    // A server that is new does not end it.
    let members = [member(Up), member(Out), member(Unknown)];
    assert_eq!(with(&members), (vec![stands_by, out, waits], true));
    assert_eq!(
        with(&[member(Up), member(Up)]),
        (vec![serves, serves], false)
    );
    // A daemon that finds the fallback serving leaves it so until it knows.
    pool = Pool {
        fallback: true,
        ..Pool::default()
    };
    let mut with = |members: &[Member]| (pool.select(&rules, members), pool.fallback);
    assert_eq!(
        with(&[member(Up), member(Unknown)]),
        (vec![stands_by, waits], true)
    );
    assert_eq!(
        with(&[member(Up), member(Up)]),
        (vec![serves, serves], false)
    );
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let state = prop_oneof![Just(Unknown), Just(Up), Just(Drain), Just(Out)];
    let member = (state, any::<bool>(), 0u32..4).prop_map(|(state, backup, weight)| Member {
        state,
        backup,
        weight,
    });
    proptest::collection::vec(member, 0..6)
}

proptest! {
    #[test]
    fn whatever_happens_the_rules_hold(
        all_backups: bool,
        fallbacks: bool,
        history in proptest::collection::vec(members(), 1..12),
        weight in 0u32..6,
        hysteresis in 0u32..3,
    ) {
        let quorum = Quorum { weight, hysteresis, ..Quorum::default() };
        let rules = rules(all_backups, fallbacks, &quorum);
        let mut pool = Pool::default();
        for members in history {
            let before = pool;
            let selections = pool.select(&rules, &members);
            prop_assert_eq!(selections.len(), members.len());
            let serving = || selections.iter().zip(&members).filter(|(selection, _)| **selection == Selection::Serves);
            for (_, member) in serving() {
                prop_assert_eq!(member.state, Up);
                prop_assert!(member.weight > 0);
            }
            let able = |m: &&Member| m.state == Up && m.weight > 0;
            let primaries = members.iter().filter(able).filter(|m| !m.backup).count();
            let short = pool.quorum.map_or(before.fallback, |there| !there);
            let relieved = short && weight > 0 && fallbacks;
            if relieved {
                prop_assert_eq!(serving().count(), 0);
                prop_assert!(pool.fallback && !pool.empty);
            } else if primaries > 0 {
                prop_assert_eq!(serving().count(), primaries);
                prop_assert!(serving().all(|(_, m)| !m.backup));
            } else if !all_backups {
                prop_assert!(serving().count() <= 1);
            }
            let undecided = members.iter().any(|m| m.state == Unknown);
            if relieved {
                // As above.
            } else if serving().count() > 0 {
                prop_assert!(!pool.fallback && !pool.empty);
            } else if !undecided {
                prop_assert_eq!(pool.fallback, fallbacks);
                prop_assert_eq!(pool.empty, !fallbacks);
            } else {
                prop_assert!(!pool.fallback || before.fallback);
            }
            if weight == 0 {
                prop_assert_eq!(pool.quorum, None);
            }
            // The same again changes nothing.
            let settled = pool;
            prop_assert_eq!(pool.select(&rules, &members), selections);
            let quorum_stays = undecided || pool.quorum == settled.quorum || settled.quorum.is_none();
            prop_assert!(quorum_stays);
            prop_assert_eq!((pool.fallback, pool.empty), (settled.fallback, settled.empty));
        }
    }
}
