use proptest::prelude::*;

use super::*;

fn member(standing: Standing) -> Member {
    Member {
        standing,
        backup: false,
        weight: 1,
    }
}

fn backup(standing: Standing) -> Member {
    Member {
        backup: true,
        ..member(standing)
    }
}

fn rules(all_backups: bool, fallbacks: bool, quorum: &Quorum) -> Rules<'_> {
    Rules {
        all_backups,
        fallbacks,
        quorum,
    }
}

use Standing::{Drain, Out, Unknown, Up};

#[test]
fn the_fallback_serves_only_while_nobody_else_does() {
    let (none, mut pool) = (Quorum::default(), Pool::default());
    let rules = rules(false, true, &none);
    pool.settle(&rules, &[member(Up), member(Out)]);
    assert!(!pool.fallback);
    pool.settle(&rules, &[member(Out), member(Out)]);
    assert!(pool.fallback);
    pool.settle(&rules, &[member(Out), member(Up)]);
    assert!(!pool.fallback);
}

#[test]
fn a_start_does_not_send_clients_to_the_fallback() {
    let (none, mut pool) = (Quorum::default(), Pool::default());
    let rules = rules(false, true, &none);
    pool.settle(&rules, &[member(Unknown), member(Out)]);
    assert!(!pool.fallback && !pool.empty);
    pool.settle(&rules, &[member(Out), member(Out)]);
    assert!(pool.fallback);
    // Nor does a server that is new take it away.
    pool.settle(&rules, &[member(Out), member(Unknown)]);
    assert!(pool.fallback);
}

#[test]
fn servers_without_weight_or_on_their_way_out_do_not_hold_the_fallback_back() {
    let (none, mut pool) = (Quorum::default(), Pool::default());
    let idle = Member {
        weight: 0,
        ..member(Up)
    };
    let parts = pool.settle(&rules(false, true, &none), &[idle, member(Drain)]);
    assert_eq!(parts, [Part::StandsBy, Part::StandsBy]);
    assert!(pool.fallback);
}

#[test]
fn the_first_backup_that_is_up_or_all_of_them() {
    let (none, mut pool) = (Quorum::default(), Pool::default());
    let members = [member(Out), backup(Out), backup(Up), backup(Up)];
    let parts = pool.settle(&rules(false, true, &none), &members);
    assert_eq!(parts, [Part::Out, Part::Out, Part::Serves, Part::StandsBy]);
    let parts = pool.settle(&rules(true, true, &none), &members);
    assert_eq!(parts, [Part::Out, Part::Out, Part::Serves, Part::Serves]);
    assert!(!pool.fallback);
    let parts = pool.settle(&rules(true, true, &none), &[member(Up), backup(Up)]);
    assert_eq!(parts, [Part::Serves, Part::StandsBy]);
}

#[test]
fn a_service_without_fallback_is_told_to_be_empty() {
    let (none, mut pool) = (Quorum::default(), Pool::default());
    pool.settle(&rules(false, false, &none), &[member(Out)]);
    assert!(pool.empty && !pool.fallback);
    pool.settle(&rules(false, false, &none), &[member(Up)]);
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
        pool.settle(&rules(false, false, &quorum), &members);
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
    let mut with = |members: &[Member]| (pool.settle(&rules, members), pool.fallback);
    let (serves, stands_by) = (Part::Serves, Part::StandsBy);
    // Not decided yet: the first to answer serves.
    let waits = Part::Waits;
    assert_eq!(
        with(&[member(Up), member(Unknown)]),
        (vec![serves, waits], false)
    );
    assert_eq!(
        with(&[member(Up), member(Up)]),
        (vec![serves, serves], false)
    );
    let out = Part::Out;
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
    let mut with = |members: &[Member]| (pool.settle(&rules, members), pool.fallback);
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
    let standing = prop_oneof![Just(Unknown), Just(Up), Just(Drain), Just(Out)];
    let member = (standing, any::<bool>(), 0u32..4).prop_map(|(standing, backup, weight)| Member {
        standing,
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
            let parts = pool.settle(&rules, &members);
            prop_assert_eq!(parts.len(), members.len());
            let serving = || parts.iter().zip(&members).filter(|(part, _)| **part == Part::Serves);
            for (_, member) in serving() {
                prop_assert_eq!(member.standing, Up);
                prop_assert!(member.weight > 0);
            }
            let able = |m: &&Member| m.standing == Up && m.weight > 0;
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
            let undecided = members.iter().any(|m| m.standing == Unknown);
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
            prop_assert_eq!(pool.settle(&rules, &members), parts);
            let quorum_stays = undecided || pool.quorum == settled.quorum || settled.quorum.is_none();
            prop_assert!(quorum_stays);
            prop_assert_eq!((pool.fallback, pool.empty), (settled.fallback, settled.empty));
        }
    }
}
