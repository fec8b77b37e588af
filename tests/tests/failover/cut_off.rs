//! A master that is cut off from the real servers, which its peer reaches, is not healthy; where they are down for
//! both, nothing moves.

use std::time::{Duration, Instant};

use lvs_api::model::{Family, Method};
use lvs_api::role::Role;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Director, Pair};

const PATIENCE: Duration = Duration::from_secs(30);

/// An `ldirectord.cf` with a service of all real servers, and one of the last alone.
fn file() -> String {
    let address = virtual_address(Family::Ipv4, Method::Nat);
    let service = |port: u16, servers: &[u8]| {
        let servers = servers.iter().map(|&number| {
            let server = server(Family::Ipv4, number);
            format!("\treal = {server}:80 masq 1\n")
        });
        let servers: String = servers.collect();
        format!(
            "virtual = {address}:{port}\n{servers}\tservice = http\n\trequest = \"/\"\n\
             \treceive = \"server\"\n\tscheduler = rr\n"
        )
    };
    let services = [service(80, &[1, 2]), service(81, &[3])].concat();
    format!("checkinterval = 1\nchecktimeout = 2\nnegotiatetimeout = 2\nquiescent = no\n{services}")
}

/// Whether a director is healthy, and what is said about it.
fn healthy(director: &Director, option: &str) -> (bool, String) {
    let output = director.try_lvsadm(&format!("healthy {option}")).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said)
}

/// Loses the way to real servers, or has it again.
fn cut(director: &Director, servers: &[u8], verb: &str) {
    for &number in servers {
        let server = server(Family::Ipv4, number);
        let line = format!("route {verb} blackhole {server}/32\n");
        director.namespace().ip(&line).unwrap();
    }
}

fn up(director: &Director, count: usize) -> bool {
    let said = director.lvsadm("status --json").unwrap();
    said.matches("\"state\": \"up\"").count() == count
}

fn pair() -> Option<Pair> {
    let pair = Pair::for_story()?;
    pair.start_linked(1, Role::Master, &file()).unwrap();
    pair.start_linked(2, Role::Backup, &file()).unwrap();
    for director in &pair.directors {
        assert!(eventually(PATIENCE, || up(director, 3)));
        assert!(eventually(PATIENCE, || healthy(director, "").0));
    }
    Some(pair)
}

#[test]
fn a_master_that_is_cut_off_is_unhealthy_until_it_reaches_servers_again() {
    let Some(pair) = pair() else {
        return;
    };
    let [one, two] = &pair.directors;
    cut(one, &[1, 2], "add");
    // One service of two: a matter of choice.
    assert!(eventually(PATIENCE, || !healthy(one, "--any-service").0));
    assert!(healthy(two, "--any-service").0, "{}", healthy(two, "").1);
    assert!(healthy(one, "").0, "{}", healthy(one, "").1);

    cut(one, &[3], "add");
    assert!(eventually(PATIENCE, || !healthy(one, "").0));
    let (_, said) = healthy(one, "");
    assert!(
        said.contains("is reached from here, though a peer reaches one"),
        "{said}"
    );
    assert!(healthy(one, "--no-services").0);
    assert!(healthy(two, "").0, "{}", healthy(two, "").1);

    // The role moves, as a cluster manager would have it: the old master does not take its peer's word for its own.
    one.lvsadm("handover --timeout 20s").unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        assert!(!healthy(one, "").0, "it would take the role back at once");
        assert!(healthy(two, "").0, "{}", healthy(two, "").1);
        std::thread::sleep(Duration::from_millis(100));
    }
    let address = virtual_address(Family::Ipv4, Method::Nat);
    assert_eq!(pair.client.get_many(address, 4).unwrap().len(), 4);

    cut(one, &[1, 2, 3], "delete");
    assert!(eventually(PATIENCE, || healthy(one, "--any-service").0));
}

#[test]
fn servers_that_are_down_for_both_move_nothing() {
    let Some(pair) = pair() else {
        return;
    };
    let [one, two] = &pair.directors;
    for director in [one, two] {
        cut(director, &[1, 2, 3], "add");
    }
    for director in [one, two] {
        assert!(eventually(PATIENCE, || up(director, 0)));
    }
    let steady = |what: &str| {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(5) {
            for director in [one, two] {
                let (healthy, said) = healthy(director, "--any-service");
                assert!(healthy, "{what}: {said}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    steady("all servers are down");
    // One director is the first to notice that they are back.
    for director in [two, one] {
        cut(director, &[1, 2, 3], "delete");
    }
    steady("they come back");
    assert!(eventually(PATIENCE, || up(one, 3) && up(two, 3)));
    assert_eq!(one.lvsadm("role").unwrap(), "master\n");
}

#[test]
fn a_director_without_carrier_towards_the_clients_gives_way_to_one_that_has_it() {
    let Some(pair) = pair() else {
        return;
    };
    let [one, two] = &pair.directors;
    let front = |number: u8, verb: &str| {
        let line = format!("link set front {verb}\n");
        pair.directors[usize::from(number) - 1]
            .namespace()
            .ip(&line)
            .unwrap();
    };
    let reason = "interface front of the virtual addresses is down or without carrier, though a peer's are not";

    // The servers are reached all the same, through the other interface.
    front(1, "down");
    assert!(eventually(PATIENCE, || !healthy(one, "").0));
    let (_, said) = healthy(one, "--no-services");
    assert!(said.contains(reason), "{said}");
    assert!(up(one, 3));
    assert!(healthy(two, "").0, "{}", healthy(two, "").1);
    // As a backup it is none to be promoted.
    one.lvsadm("handover --timeout 20s").unwrap();
    assert!(!healthy(one, "").0);
    let refused = two.try_lvsadm("handover --timeout 20s").unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("down or without carrier"), "{said}");

    // Neither has it: nothing moves.
    front(2, "down");
    assert!(eventually(PATIENCE, || healthy(one, "").0));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        for director in [one, two] {
            let (healthy, said) = healthy(director, "");
            assert!(healthy, "{said}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    front(1, "up");
    assert!(eventually(PATIENCE, || !healthy(two, "").0));
    assert!(healthy(one, "").0, "{}", healthy(one, "").1);
}
