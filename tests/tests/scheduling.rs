//! Schedulers: which real server gets a new connection.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Direct;
use lvs_api::model::Protocol;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::virtual_address;
use lvs_tests::lab::client::download_source;
use lvs_tests::lab::director::{server_name, service, service_name};
use lvs_tests::lab::{Arms, Client, Lab};

/// A service with weights 1, 2 and 3.
fn weighted(scheduler: &str) -> String {
    let service = service_name(Protocol::Tcp, Ipv4, Direct);
    let mut lines = format!("-A {service} -s {scheduler}\n");
    for number in 1..=Lab::SERVERS {
        let _ = writeln!(
            lines,
            "-a {service} {} -g -w {number}",
            server_name(Ipv4, number)
        );
    }
    lines
}

/// How many of so many requests each server got.
fn answers(lab: &Lab, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in lab
        .client
        .get_many(virtual_address(Ipv4, Direct), requests)
        .unwrap()
    {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[test]
fn weighted_round_robin_gives_each_server_its_share() {
    let Some(lab) = Lab::for_story(Arms::Two, &weighted("wrr")) else {
        return;
    };
    let shares: Vec<_> = answers(&lab, 12).into_values().collect();
    assert_eq!(shares, [2, 4, 6]);
}

#[test]
fn source_hashing_keeps_a_client_with_its_server() {
    for scheduler in ["sh", "mh", "dh"] {
        let lines = service(Protocol::Tcp, Ipv4, Direct, scheduler);
        let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
            return;
        };
        assert_eq!(answers(&lab, 12).len(), 1, "{scheduler}");
    }
}

#[test]
fn least_connections_uses_all_servers() {
    for scheduler in ["lc", "wlc", "twos"] {
        let lines = service(Protocol::Tcp, Ipv4, Direct, scheduler);
        let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
            return;
        };
        assert_eq!(answers(&lab, 12).len(), 3, "{scheduler}");
    }
}

#[test]
fn failover_and_overflow_use_the_heaviest_server() {
    for scheduler in ["fo", "ovf"] {
        let Some(lab) = Lab::for_story(Arms::Two, &weighted(scheduler)) else {
            return;
        };
        let counts = answers(&lab, 12);
        assert_eq!(counts, [("server3".to_owned(), 12)].into(), "{scheduler}");
    }
}

#[test]
fn servers_that_hold_connections_are_passed_by() {
    for scheduler in ["sed", "nq"] {
        let lines = service(Protocol::Tcp, Ipv4, Direct, scheduler);
        let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
            return;
        };
        let url = Client::url(virtual_address(Ipv4, Direct), "/slow");
        let mut held = Vec::new();
        for turn in 0..Lab::SERVERS {
            let (file, curl) = lab
                .client
                .start_download(&url, &format!("{scheduler}-{turn}"))
                .unwrap();
            let begun = || download_source(&file).is_some();
            assert!(eventually(Duration::from_secs(30), begun));
            held.push((download_source(&file).unwrap(), curl));
        }
        let mut names: Vec<_> = held.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["server1", "server2", "server3"], "{scheduler}");
        for (_, mut curl) in held {
            curl.kill().unwrap();
            curl.wait().unwrap();
        }
    }
}

#[test]
fn a_destination_that_is_not_overloaded_stays_with_its_server() {
    for scheduler in ["lblc", "lblcr"] {
        let lines = service(Protocol::Tcp, Ipv4, Direct, scheduler);
        let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
            return;
        };
        assert_eq!(answers(&lab, 12).len(), 1, "{scheduler}");
    }
}

#[test]
fn a_persistent_client_stays_with_its_server() {
    let lines = service(Protocol::Tcp, Ipv4, Direct, "rr -p 300");
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    assert_eq!(answers(&lab, 12).len(), 1);
}
