//! Several directors at once behind a router with equal-cost paths (BIRD, FRR).

use std::time::{Duration, Instant};

use lvs_tests::lab::equal_cost::{EqualCost, Routing, VIRTUAL};
use lvs_tests::lab::skipped;
use lvs_tests::lab::traffic::Idle;

const CONNECTIONS: usize = 200;

/// `ipvsadm -S` lines of one virtual service with all real servers.
fn services() -> String {
    let servers = [11, 12, 13].map(|host| format!("-a -t {VIRTUAL}:80 -r 10.2.0.{host}:80 -g\n"));
    format!("-A -t {VIRTUAL}:80 -s mh\n{}", servers.concat())
}

#[test]
fn a_flow_rerouted_by_bird_stays_with_its_server() {
    directors_come_and_go(Routing::Bird);
}

#[test]
fn a_flow_rerouted_by_frr_stays_with_its_server() {
    directors_come_and_go(Routing::Frr);
}

fn directors_come_and_go(routing: Routing) {
    if skipped(routing.obstacle()) {
        return;
    }
    let lab = EqualCost::new(&services(), routing).unwrap();
    let mut idle = Idle::open(lab.client.namespace(), VIRTUAL, CONNECTIONS).unwrap();
    let served = |number: u8| {
        let listing = lab.director(number).lvsadm("-Lcn").unwrap();
        listing
            .lines()
            .filter(|line| line.contains("10.9.0.1:80"))
            .count()
    };
    for number in 1..=3 {
        lab.director(number).lvsadm("sync wait").unwrap();
        // What was opened a moment ago is on its way.
        let deadline = Instant::now() + Duration::from_secs(20);
        while served(number) != CONNECTIONS {
            let known = served(number);
            assert!(
                Instant::now() < deadline,
                "{number} knows {known} connections"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    lab.crash(3).unwrap();
    lab.await_paths(2).unwrap();
    let lost = idle.speak();
    assert_eq!(lost, [""; 0], "of {CONNECTIONS}");

    // A director in maintenance is withdrawn from the router, and no connection is lost either.
    lab.director(2).lvsadm("role backup").unwrap();
    lab.await_paths(1).unwrap();
    let lost = idle.speak();
    assert_eq!(lost, [""; 0], "of {CONNECTIONS}");

    // Its path returns when it has every connection.
    let director = lab.director(2);
    director.lvsadm("sync wait --takeover").unwrap();
    director.lvsadm("role master").unwrap();
    lab.await_paths(2).unwrap();
    let lost = idle.speak();
    assert_eq!(lost, [""; 0], "of {CONNECTIONS}");
}

#[test]
fn the_equal_cost_page_shows_the_tested_configuration() {
    let page = include_str!("../../../docs/equal-cost-paths.md");
    let named = |text: &str| {
        text.replace("ROUTER", "10.1.0.254")
            .replace("OWN", "10.1.0.2")
            .replace("VIRTUAL", "10.9.0.1")
    };
    for routing in [Routing::Bird, Routing::Frr] {
        for tried in [routing.router(), routing.director()] {
            assert!(page.contains(&named(tried)), "{tried}");
        }
    }
}
