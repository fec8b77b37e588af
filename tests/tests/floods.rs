//! Floods of the connection table: established connections stay, and honest clients with a round trip of 200 ms are
//! served meanwhile, by direct routing and by NAT.

use std::time::Duration;

use lvs_tests::flood::{Attack, Outcome, Size, run};

const ENTRIES: u32 = 8_192;

/// Floods a table with ten times its entries a minute.
#[track_caller]
fn flood(attack: Attack, flows: u32, seconds: u64) -> Option<Outcome> {
    let size = Size {
        entries: ENTRIES,
        flows,
        time: Duration::from_secs(seconds),
        established: 400,
        honest: 600,
    };
    let outcome = run(attack, size)?.unwrap();
    println!("{attack:?}: {outcome:?}");
    assert_eq!(outcome.lost, 0, "established connections");
    Some(outcome)
}

#[track_caller]
fn all_but_one_percent_are_served(attack: Attack) {
    let Some(outcome) = flood(attack, ENTRIES * 2, 12) else {
        return;
    };
    for (honest, served) in outcome.honest.into_iter().zip(outcome.served) {
        assert!(served * 100 >= honest * 99, "{attack:?}: {outcome:?}");
    }
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
    let Some(outcome) = flood(Attack::Proven, ENTRIES, 20) else {
        return;
    };
    assert!(outcome.fill < 85, "{outcome:?}");
    for (honest, served) in outcome.honest.into_iter().zip(outcome.served) {
        assert!(served * 100 >= honest * 97, "{outcome:?}");
    }
}
