//! A backup mirrors its master's health check states and overrides.

use std::time::{Duration, Instant};

use lvs_api::health::{AdminState, Health, ServerHealth, State};
use lvs_api::model::{Family, Method};
use lvs_api::role::Role;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Director, Pair};

/// An `ldirectord.cf` whose servers are probed this often, in seconds.
fn file(interval: u32) -> String {
    let address = virtual_address(Family::Ipv4, Method::Nat);
    let servers = [1, 2, 3].map(|number| {
        let server = server(Family::Ipv4, number);
        format!("\treal = {server}:80 masq 1\n")
    });
    format!(
        "checkinterval = {interval}\nchecktimeout = 2\nquiescent = no\nvirtual = {address}:80\n{}\
         \tservice = http\n\trequest = \"/\"\n\treceive = \"server\"\n\tscheduler = rr\n",
        servers.concat()
    )
}

fn health(director: &Director) -> Vec<ServerHealth> {
    let text = director.lvsadm("status --json").unwrap();
    let health: Health = serde_json::from_str(&text).unwrap();
    health
        .services
        .into_iter()
        .flat_map(|s| s.servers)
        .collect()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_backup_mirrors_the_masters_server_states_and_overrides() {
    let Some(mut pair) = Pair::for_story() else {
        return;
    };
    pair.start_linked(1, Role::Master, &file(1)).unwrap();
    // By its own probes it would know of a change in an hour.
    pair.start_linked(2, Role::Backup, &file(3600)).unwrap();
    pair.servers[1].crash();
    let [one, two] = &pair.directors;
    one.lvsadm("server all 10.2.0.11 drain").unwrap();
    one.lvsadm("weight all 10.2.0.13 7").unwrap();
    let known = || {
        let servers = health(two);
        servers[0].admin == AdminState::Drain
            && servers[1].state == State::Down
            && servers[2].effective == Some(7)
    };
    eventually("the backup knows", known);
    one.lvsadm("server all 10.2.0.11 ready").unwrap();
    eventually("the backup knows that it is over", || {
        health(two)[0].admin == AdminState::Ready
    });

    pair.crash(1).unwrap();
    two.lvsadm("role master").unwrap();
    let servers = health(two);
    let states: Vec<_> = servers.iter().map(|server| server.state).collect();
    assert_eq!(states, [State::Up, State::Down, State::Up]);
    let address = virtual_address(Family::Ipv4, Method::Nat);
    let answers = pair.client.get_many(address, 6).unwrap();
    assert!(
        answers.iter().all(|answer| answer != "server2"),
        "{answers:?}"
    );
    assert_eq!(answers.len(), 6);

    // It finds out for itself now.
    pair.servers[1].recover().unwrap();
    pair.director(2)
        .lvsadm("server all 10.2.0.12 maint")
        .unwrap();
    pair.director(2)
        .lvsadm("server all 10.2.0.12 ready")
        .unwrap();
    eventually("a good probe brings it back", || {
        health(pair.director(2))[1].state == State::Up
    });
}
