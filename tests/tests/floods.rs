//! Floods of the connection table: established connections stay, and honest clients with a round trip of 200 ms are
//! served meanwhile, by direct routing and by NAT.

use std::time::Duration;

use lvs_tests::flood::{Attack, Outcome, Size, run};

const ENTRIES: u32 = 8_192;

/// On a machine that stands still for longer, honest clients are as idle as attackers, and who is recycled first says
/// nothing: half of their round trip.
const LATE: Duration = Duration::from_millis(100);
/// Floods before one on time is given up.
const ATTEMPTS: u32 = 4;

/// Floods a table with ten times its entries a minute, until what is expected of the outcome holds, or does not on a
/// machine that kept time.
#[track_caller]
fn flood(attack: Attack, flows: u32, seconds: u64, expected: impl Fn(&Outcome) -> bool) {
    let size = Size {
        entries: ENTRIES,
        flows,
        time: Duration::from_secs(seconds),
        established: 400,
        honest: 600,
    };
    for attempt in 1..=ATTEMPTS {
        let Some(outcome) = run(attack, size) else {
            return;
        };
        let outcome = outcome.unwrap();
        println!("{attack:?}: {outcome:?}");
        assert_eq!(outcome.lost, 0, "established connections");
        if expected(&outcome) {
            return;
        }
        assert!(
            outcome.late > LATE && attempt < ATTEMPTS,
            "{attack:?}: {outcome:?}"
        );
    }
}

/// Returns whether so many percent of the honest clients were served, by either method.
fn are_served(outcome: &Outcome, percent: u32) -> bool {
    let mut methods = outcome.honest.into_iter().zip(outcome.served);
    methods.all(|(honest, served)| served * 100 >= honest * percent)
}

#[track_caller]
fn all_but_one_percent_are_served(attack: Attack) {
    flood(attack, ENTRIES * 2, 12, |outcome| are_served(outcome, 99));
}

#[test]
fn slow_clients_are_served_in_a_flood_of_syns() {
    all_but_one_percent_are_served(Attack::Syn);
}

#[test]
fn clients_are_served_in_a_flood_of_a_syn_and_an_ack_each() {
    all_but_one_percent_are_served(Attack::SynAck);
}

#[test]
fn clients_are_served_in_a_flood_of_a_syn_and_a_fin_each() {
    all_but_one_percent_are_served(Attack::SynFin);
}

#[test]
fn clients_are_served_in_a_flood_of_two_datagrams_each() {
    all_but_one_percent_are_served(Attack::TwoDatagrams);
}

#[test]
fn a_flood_that_nothing_recycles_leaves_room_for_other_services() {
    flood(Attack::Proven, ENTRIES, 20, |outcome| {
        outcome.fill < 85 && are_served(outcome, 97)
    });
}
