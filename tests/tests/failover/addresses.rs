//! Virtual addresses: held by the master alone, announced, restored, and reported in case of a conflict.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lvs_api::model::Method;
use lvs_tests::lab::addresses::{
    FAMILIES, METHODS, director_back, own_back, own_front, own_sync, prefix_length, virtual_address,
};
use lvs_tests::lab::director::every_service;
use lvs_tests::lab::{Client, Director, Namespace, Pair};
use lvs_tests::pairs;

/// The addresses of a director that it did not boot with: `front inet 10.1.0.101/32`.
fn held(director: &Director) -> Vec<String> {
    let shown = director
        .namespace()
        .run("ip", &["-oneline", "address", "show", "scope", "global"])
        .unwrap();
    let name = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        format!("{} {} {}", words[1], words[2], words[3])
    };
    let mut held: Vec<_> = shown.lines().map(name).collect();
    let own = (1..=2).flat_map(|number| {
        FAMILIES.into_iter().flat_map(move |family| {
            let length = prefix_length(family);
            [own_front, own_back, own_sync].map(|own| format!(" {}/{length}", own(family, number)))
        })
    });
    let own: Vec<_> = own.collect();
    held.retain(|name| !own.iter().any(|own| name.ends_with(own)));
    held
}

/// The MAC address of an address in a host's neighbour table.
fn neighbour(host: &Namespace, address: IpAddr) -> String {
    let shown = host
        .run("ip", &["neighbour", "show", "to", &address.to_string()])
        .unwrap();
    let mut words = shown.split_whitespace();
    words.find(|word| *word == "lladdr");
    words.next().unwrap_or_default().to_owned()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ask_everywhere(client: &Client) {
    for (family, method) in pairs(FAMILIES, METHODS) {
        // Every real server once.
        let answers = client.get_many(virtual_address(family, method), 3);
        let answers = answers.unwrap_or_else(|error| panic!("{method:?}, {family:?}: {error:#}"));
        assert_eq!(answers.len(), 3);
    }
}

#[test]
fn virtual_addresses_move_together_and_are_announced() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    pair.start(&every_service(), &[]).unwrap();
    let [one, two] = &pair.directors;
    assert_eq!(held(one).len(), 8, "{:?}", held(one));
    assert_eq!(held(two), [""; 0]);
    ask_everywhere(&pair.client);
    for family in FAMILIES {
        let address = virtual_address(family, Method::Direct);
        let client = pair.client.namespace();
        assert_eq!(neighbour(client, address), one.mac("front"));
    }

    one.lvsadm("role backup").unwrap();
    assert_eq!(held(one), [""; 0]);
    two.lvsadm("role master").unwrap();
    assert_eq!(held(two).len(), 8);
    // Announcements alone did it: no packet was sent to them.
    for family in FAMILIES {
        for method in METHODS {
            let address = virtual_address(family, method);
            eventually("the client learns the new holder", || {
                neighbour(pair.client.namespace(), address) == two.mac("front")
            });
        }
        for server in &pair.servers {
            let gateway = director_back(family);
            eventually("real servers learn their gateway", || {
                neighbour(server.namespace(), gateway) == two.mac("back")
            });
        }
    }
    ask_everywhere(&pair.client);
}

#[test]
fn virtual_addresses_are_adopted_after_a_crash_and_may_stay_after_a_stop() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, _] = &pair.directors;
    let first = "--virtual-address=10.1.0.101/32@front";
    let second = "--virtual-address=fd00:1::101@front";
    one.start_with(&[first, second]).unwrap();
    let both = ["front inet 10.1.0.101/32", "front inet6 fd00:1::101/128"];
    assert_eq!(held(one), both);
    one.kill();
    assert_eq!(held(one), both);
    one.start_with(&[first, second]).unwrap();
    assert_eq!(held(one), both);

    // One address fewer.
    one.kill();
    one.start_with(&[first, "--keep-addresses"]).unwrap();
    assert_eq!(held(one), both[..1]);

    one.stop().unwrap();
    assert_eq!(
        held(one),
        both[..1],
        "forwarding goes on, and so does the address"
    );

    // Without forwarding they cannot.
    one.start_with(&[first, "--keep-addresses", "--detach-on-exit"])
        .unwrap();
    assert_eq!(held(one), both[..1]);
    one.stop().unwrap();
    assert_eq!(held(one), [""; 0]);
}

#[test]
fn a_removed_virtual_address_is_restored_and_a_foreign_one_left_alone() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, _] = &pair.directors;
    let namespace = one.namespace();
    namespace.ip("address add 10.1.0.102/32 dev front").unwrap();
    one.start_with(&[
        "--virtual-address=10.1.0.101@front",
        "--virtual-address=10.1.0.102@front",
    ])
    .unwrap();
    let both = ["front inet 10.1.0.101/32", "front inet 10.1.0.102/32"];
    let sorted = || {
        let mut held = held(one);
        held.sort();
        held
    };
    assert_eq!(sorted(), both);
    let shown = one.try_lvsadm("role").unwrap();
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "master\n");
    let complaint = String::from_utf8_lossy(&shown.stderr);
    assert!(complaint.contains("10.1.0.102/32@front"), "{complaint}");

    namespace
        .ip("address delete 10.1.0.101/32 dev front")
        .unwrap();
    eventually("the address is added again", || sorted() == both);

    one.lvsadm("role backup").unwrap();
    assert_eq!(held(one), both[1..]);
}

#[test]
fn a_director_that_cannot_hold_every_address_holds_none_and_stays_backup() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, _] = &pair.directors;
    let options = [
        "--virtual-address=10.1.0.101@front",
        "--virtual-address=10.1.0.102@nowhere",
    ];
    one.start_with(&[&["--role", "backup"][..], &options].concat())
        .unwrap();
    let refused = one.try_lvsadm("role master").unwrap();
    assert!(!refused.status.success());
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert!(complaint.contains("10.1.0.102/32@nowhere"), "{complaint}");
    assert_eq!(one.lvsadm("role").unwrap(), "backup\n");
    assert_eq!(held(one), [""; 0]);
}

#[test]
fn an_address_conflict_is_reported() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, two] = &pair.directors;
    let options = [
        "--virtual-address=10.1.0.101@front",
        "--virtual-address=fd00:1::101@front",
    ];
    one.start_with(&options).unwrap();
    // It is master too, without the first one's knowledge.
    two.start_with(&options).unwrap();
    for (director, other) in [(one, two), (two, one)] {
        eventually("both conflicts are reported", || {
            let shown = director.try_lvsadm("role").unwrap();
            let complaint = String::from_utf8_lossy(&shown.stderr);
            let lines = complaint.lines().filter(|line| {
                line.contains("duplicate address") && line.contains(&other.mac("front"))
            });
            lines.count() == 2
        });
        let log = std::fs::read_to_string(director.log()).unwrap();
        assert!(log.contains("DUPLICATE ADDRESS"), "{log}");
    }
}
