//! Connections expire after their timeout, and the counts of active and inactive ones follow.

use std::thread;
use std::time::{Duration, Instant};

use lvs_api::model::Method::{Direct, Tunnel};
use lvs_api::model::Protocol;
use lvs_tests::lab::addresses::{FAMILIES, virtual_address};
use lvs_tests::lab::director::service;
use lvs_tests::lab::{Arms, Lab};
use lvs_tests::pairs;

/// Active and inactive connections of all real servers, as `lvsadm -Ln` prints them.
fn counts(lab: &Lab) -> (u32, u32) {
    let listing = lab.director.lvsadm("-Ln").unwrap();
    let servers = listing
        .lines()
        .filter(|line| line.contains("  -> "))
        .skip(1);
    servers.fold((0, 0), |(active, inactive), line| {
        let columns: Vec<u32> = line
            .split_whitespace()
            .rev()
            .take(2)
            .map(|column| column.parse().unwrap())
            .collect();
        (active + columns[1], inactive + columns[0])
    })
}

fn connections(lab: &Lab) -> usize {
    lab.director.lvsadm("-Lcn").unwrap().lines().skip(2).count()
}

#[test]
fn closed_connections_leave_the_table_after_their_timeout_and_counts_stay_exact() {
    let mut lines = String::from("--set 0 2 0\n");
    for (family, method) in pairs(FAMILIES, [Direct, Tunnel]) {
        lines += &service(Protocol::Tcp, family, method, "rr");
    }
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    for (family, method) in pairs(FAMILIES, [Direct, Tunnel]) {
        lab.client
            .get_many(virtual_address(family, method), 15)
            .unwrap();
    }
    // The client's last segments may still be on their way.
    thread::sleep(Duration::from_millis(200));
    let (active, inactive) = counts(&lab);
    assert_eq!(
        (active + inactive) as usize,
        connections(&lab),
        "{active} active, {inactive} inactive"
    );
    assert_eq!(active + inactive, 60);

    let deadline = Instant::now() + Duration::from_secs(30);
    while connections(&lab) > 0 || counts(&lab) != (0, 0) {
        assert!(
            Instant::now() < deadline,
            "{:?}, {} listed",
            counts(&lab),
            connections(&lab)
        );
        thread::sleep(Duration::from_millis(100));
    }
}
