//! The role at the start and the end of a daemon: never two masters that hear each other, and no address at a director
//! that is no more.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use lvs_api::model::Family;
use lvs_api::role::Role;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::own_sync;
use lvs_tests::lab::director::every_service;
use lvs_tests::lab::{Director, Pair};

const PATIENCE: Duration = Duration::from_secs(20);
const ADDRESS: &str = "--virtual-address=10.1.0.101/32@front";

fn role(director: &Director) -> String {
    director.lvsadm("role").unwrap().trim().to_owned()
}

fn holds(director: &Director, address: &str) -> bool {
    let shown = director
        .namespace()
        .run("ip", &["-oneline", "address", "show", "to", address]);
    !shown.unwrap().is_empty()
}

fn log(director: &Director) -> String {
    fs::read_to_string(director.log()).unwrap()
}

#[test]
fn a_master_that_is_stopped_hands_over_to_its_peer() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, two] = &pair.directors;
    pair.start_linked(1, Role::Master, &every_service())
        .unwrap();
    pair.start_linked(2, Role::Backup, &every_service())
        .unwrap();
    one.lvsadm("sync wait --timeout 20s").unwrap();
    one.stop().unwrap();
    assert_eq!(role(two), "master");
    assert!(log(one).contains("the role and the virtual addresses are the peer's now"));
    // It comes back as what it was at the end, whatever its options say.
    pair.start_linked(1, Role::Master, &every_service())
        .unwrap();
    assert_eq!(role(one), "backup");
    assert_eq!(role(two), "master");
}

#[test]
fn a_master_without_a_peer_releases_its_addresses_when_it_is_stopped_unless_told_otherwise() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, _] = &pair.directors;
    one.start_with(&[ADDRESS]).unwrap();
    assert!(holds(one, "10.1.0.101"));
    one.stop().unwrap();
    assert!(!holds(one, "10.1.0.101"));
    assert!(log(one).contains("the virtual addresses are released"));

    // It is master still, and alone.
    one.start_with(&[ADDRESS, "--keep-addresses"]).unwrap();
    assert_eq!(role(one), "master");
    assert!(holds(one, "10.1.0.101"));
    one.stop().unwrap();
    assert!(holds(one, "10.1.0.101"));
    assert!(log(one).contains("the virtual addresses stay"));
}

#[test]
fn a_director_that_shares_its_addresses_and_is_stopped_makes_no_other_a_master() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let key = pair.folder().join("key");
    fs::write(&key, "what the two directors share").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let key = format!("--peer-key={}", key.display());
    for (director, other, role) in [
        (&pair.directors[0], 2, "master"),
        (&pair.directors[1], 1, "backup"),
    ] {
        let peer = format!("--peer={}", own_sync(Family::Ipv4, other));
        let role = format!("--role={role}");
        let options = ["--virtual-address=10.9.0.1@lo", &role, &peer, &key];
        director.start_configured_with("", &options).unwrap();
    }
    let [one, two] = &pair.directors;
    one.lvsadm("sync wait --timeout 20s").unwrap();
    assert!(holds(one, "10.9.0.1"));
    one.stop().unwrap();
    assert!(!holds(one, "10.9.0.1"));
    assert_eq!(role(two), "backup");
    assert!(log(one).contains("other directors that hold them go on"));
}

#[test]
fn a_director_that_starts_beside_a_master_is_backup_and_of_two_that_start_one_is_master() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, two] = &pair.directors;
    pair.start_linked(1, Role::Master, "").unwrap();
    // Two masters by their options.
    pair.start_linked(2, Role::Master, "").unwrap();
    assert_eq!((role(one), role(two)), ("master".into(), "backup".into()));
    assert!(log(two).contains("this director begins as backup"));

    // The master dies, and the other one is made master; the first comes back with its data path, and its role in it.
    one.kill();
    two.lvsadm("role master").unwrap();
    pair.start_linked(1, Role::Master, "").unwrap();
    assert_eq!((role(one), role(two)), ("backup".into(), "master".into()));

    // Both lose power, and boot at the same moment.
    for round in 0..3 {
        for number in [1, 2] {
            pair.crash(number).unwrap();
        }
        for number in [1, 2] {
            pair.boot(number).unwrap();
        }
        std::thread::scope(|scope| {
            for number in [1, 2] {
                let pair = &pair;
                scope.spawn(move || pair.start_linked(number, Role::Master, "").unwrap());
            }
        });
        let masters = || {
            [one, two]
                .map(role)
                .iter()
                .filter(|it| *it == "master")
                .count()
        };
        assert_eq!(masters(), 1, "round {round}: {}\n{}", log(one), log(two));
    }
}

#[test]
fn a_garbled_role_file_makes_a_backup() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, _] = &pair.directors;
    let file = one.socket().with_extension("role");
    for text in ["", "mas", r#"{"role":"boss","addresses":[]}"#] {
        one.start_with(&[ADDRESS]).unwrap();
        one.lvsadm("role master").unwrap();
        one.kill();
        fs::write(&file, text).unwrap();
        one.start_with(&[ADDRESS]).unwrap();
        assert_eq!(role(one), "backup", "{text:?}");
        assert!(!holds(one, "10.1.0.101"), "{text:?}");
        assert!(log(one).contains("begins as backup"));
        // The file is whole again.
        one.restart().unwrap();
        one.stop().unwrap();
    }
}

#[test]
fn a_lone_director_does_not_wait_for_peers_that_are_dead() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, _] = &pair.directors;
    pair.start_linked(1, Role::Master, "").unwrap();
    assert!(eventually(PATIENCE, || role(one) == "master"));
    let peers = one.lvsadm("sync status").unwrap();
    let peer = own_sync(Family::Ipv4, 2).to_string();
    assert!(peers.contains(&format!("peer {peer}:8849")), "{peers}");
}
