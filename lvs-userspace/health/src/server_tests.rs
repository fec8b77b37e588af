use std::net::SocketAddr;

use lvs_api::model::{Method, ServerId, ServerSettings, Tunnel};

use super::*;
use crate::check::{Check, Path};
use crate::model::Rhythm;

fn configured(kinds: &[Kind]) -> RealServer {
    let address: SocketAddr = "10.0.0.1:80".parse().unwrap();
    let check = |kind: &Kind| Check {
        kind: kind.clone(),
        target: address,
        path: Path::Own,
        source: None,
        user: None,
        connect_timeout: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
    };
    RealServer {
        line: 1,
        id: ServerId(address),
        name: None,
        settings: ServerSettings {
            method: Method::Direct,
            weight: 10,
            upper: 0,
            lower: 0,
            tunnel: Tunnel::Ipip,
            snat: None,
        },
        backup: false,
        checks: kinds.iter().map(check).map(Arc::new).collect(),
        rhythm: Rhythm {
            interval: Duration::from_secs(1),
            fast: Duration::from_secs(1),
            down: Duration::from_secs(1),
            jitter: 0,
            rise: 1,
            fall: 1,
            hang: None,
        },
        weighing: Weighing::Configured,
    }
}

const UP: CheckState = CheckState {
    state: State::Up,
    confirmed: true,
};
const ASSUMED: CheckState = CheckState {
    state: State::Up,
    confirmed: false,
};
const DOWN: CheckState = CheckState {
    state: State::Down,
    confirmed: true,
};

/// The server after its checks have said this.
fn record(server: &mut Server, checks: &[CheckState]) -> State {
    for (check, check_state) in checks.iter().enumerate() {
        server.record(check, *check_state, None);
    }
    server.update_state(Instant::now());
    server.state()
}

#[test]
fn nobody_gets_traffic_before_the_first_good_probe() {
    let mut server = Server::new(configured(&[Kind::Connect]), false);
    assert_eq!(server.member_state(), MemberState::Unknown);
    // Another service found it with traffic in its table: that says nothing about this one.
    assert_eq!(record(&mut server, &[ASSUMED]), State::Unknown);
    assert_eq!(record(&mut server, &[UP]), State::Up);
}

#[test]
fn a_server_found_with_traffic_keeps_it_until_a_check_says_otherwise() {
    let mut server = Server::new(configured(&[Kind::Connect]), true);
    assert_eq!(server.member_state(), MemberState::Up);
    assert_eq!(record(&mut server, &[ASSUMED]), State::Up);
    assert_eq!(record(&mut server, &[DOWN]), State::Down);
    assert_eq!(record(&mut server, &[CheckState::UNKNOWN]), State::Unknown);
}

#[test]
fn all_checks_have_to_hold() {
    let two = [Kind::Connect, Kind::Ping { attempts: 1 }];
    let mut server = Server::new(configured(&two), false);
    assert_eq!(
        record(&mut server, &[UP, CheckState::UNKNOWN]),
        State::Unknown
    );
    assert_eq!(record(&mut server, &[UP, UP]), State::Up);
    assert_eq!(record(&mut server, &[UP, DOWN]), State::Down);
}

#[test]
fn on_is_always_up_and_off_only_what_was_up_before() {
    assert_eq!(
        Server::new(configured(&[Kind::On]), false).state(),
        State::Up
    );
    assert_eq!(
        Server::new(configured(&[Kind::Off]), false).state(),
        State::Down
    );
    assert_eq!(
        Server::new(configured(&[Kind::Off]), true).state(),
        State::Up
    );
}

#[test]
fn after_maintenance_a_good_probe_is_needed() {
    let mut server = Server::new(configured(&[Kind::Connect]), false);
    record(&mut server, &[UP]);
    server.maintenance = true;
    server.update_state(Instant::now());
    assert_eq!(server.member_state(), MemberState::Out);
    server.maintenance = false;
    server.update_state(Instant::now());
    assert_eq!(server.member_state(), MemberState::Unknown);
    assert_eq!(record(&mut server, &[UP]), State::Up);
}

#[test]
fn an_order_of_the_operator_counts_more_than_the_agent() {
    let mut server = Server::new(
        RealServer {
            weighing: Weighing::Agent {
                address: "10.0.0.1:9".parse().unwrap(),
                interval: Duration::from_secs(1),
                send: None,
            },
            ..configured(&[Kind::On])
        },
        false,
    );
    server.agent.apply("50%");
    assert_eq!(server.weight(None), 5);
    server.weight_override = Weight::Absolute(7);
    assert_eq!(server.weight(None), 7);
    server.weight_override = Weight::Percent(150);
    assert_eq!(server.weight(None), 15);
    server.agent.apply("drain");
    assert_eq!(server.member_state(), MemberState::Drain);
    server.admin = AdminState::Maint;
    assert_eq!(server.member_state(), MemberState::Out);
}

#[test]
fn only_a_return_starts_slowly() {
    let (start, slow) = (Instant::now(), Duration::from_secs(10));
    let mut server = Server::new(configured(&[Kind::Connect]), false);
    server.record(0, UP, None);
    server.update_state(start);
    assert_eq!(
        server.ramped(10, slow, start),
        (10, None),
        "its first good probe"
    );
    server.record(0, DOWN, None);
    server.update_state(start);
    server.record(0, UP, None);
    server.update_state(start);
    let (weight, more) = server.ramped(10, slow, start);
    assert_eq!((weight, more), (1, Some(start + Duration::from_secs(1))));
    assert_eq!(server.ramped(10, slow, start + slow / 2).0, 6);
    assert_eq!(server.ramped(10, slow, start + slow), (10, None));
}

#[test]
fn another_check_leaves_a_server_as_it_is_until_it_answers() {
    let mut server = Server::new(configured(&[Kind::Connect]), false);
    record(&mut server, &[UP]);
    server.reconfigure(configured(&[Kind::Ping { attempts: 1 }]));
    server.update_state(Instant::now());
    assert_eq!(server.member_state(), MemberState::Up);
    assert_eq!(record(&mut server, &[DOWN]), State::Down);
}

#[test]
fn a_server_is_what_a_master_says_and_afterwards_what_it_was_until_probes_speak() {
    let mut server = Server::new(configured(&[Kind::Connect]), false);
    assert!(server.mirror(Some(State::Up)));
    assert!(!server.mirror(Some(State::Up)), "nothing new");
    server.update_state(Instant::now());
    assert_eq!(server.state(), State::Up);
    assert!(server.is_paused());
    assert_eq!(record(&mut server, &[DOWN]), State::Up, "nobody asked it");

    assert!(server.mirror(None));
    assert!(!server.is_paused());
    assert_eq!(record(&mut server, &[CheckState::UNKNOWN]), State::Up);
    assert_eq!(record(&mut server, &[DOWN]), State::Down);

    server.mirror(Some(State::Down));
    server.mirror(None);
    assert_ne!(record(&mut server, &[CheckState::UNKNOWN]), State::Up);
    assert_eq!(record(&mut server, &[UP]), State::Up);
}

fn outcome(good: bool, text: &str) -> Arc<Outcome> {
    Arc::new(Outcome {
        good,
        inconclusive: false,
        text: text.to_owned(),
        took: Duration::from_millis(1),
        exit_code: None,
    })
}

#[test]
fn the_sentence_is_that_of_the_check_that_failed() {
    let said = |server: &Server| server.last().map(|outcome| outcome.text.clone());
    let mut server = Server::new(configured(&[Kind::Connect, Kind::Connect]), false);
    server.record(1, DOWN, Some(&outcome(false, "HTTP 404")));
    server.record(0, UP, Some(&outcome(true, "HTTP 200")));
    server.update_state(Instant::now());
    assert_eq!(
        (server.state(), said(&server)),
        (State::Down, Some("HTTP 404".to_owned()))
    );
    // A failure that does not count yet is shown while the other check goes on.
    server.record(1, UP, Some(&outcome(false, "HTTP 503")));
    server.record(0, UP, Some(&outcome(true, "HTTP 200")));
    assert_eq!(said(&server), Some("HTTP 503".to_owned()));
    server.record(1, UP, Some(&outcome(true, "HTTP 204")));
    assert_eq!(said(&server), Some("HTTP 204".to_owned()));
    // What its own checks said is not the reason of the master's state.
    server.mirror(Some(State::Down));
    assert_eq!(said(&server), None);
}

#[test]
fn the_times_that_a_server_is_down_are_counted() {
    let mut server = Server::new(configured(&[Kind::Connect]), false);
    let begin = Instant::now();
    let seconds = |server: &Server, at: u64| {
        server
            .downs
            .total(begin + Duration::from_secs(at))
            .as_secs()
    };
    for (at, state) in [(0, UP), (10, DOWN), (13, UP), (20, DOWN)] {
        server.record(0, state, None);
        server.update_state(begin + Duration::from_secs(at));
    }
    assert_eq!((server.downs.times, seconds(&server, 20)), (2, 3));
    assert_eq!(seconds(&server, 24), 7);
}
