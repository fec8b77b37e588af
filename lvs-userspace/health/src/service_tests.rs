use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lvs_api::model::{Method, Protocol, ServiceId, ServiceSettings, Tunnel};
use lvs_dataplane::director::OnDown;

use super::*;
use crate::check::{Check, Kind, Path};
use crate::model::{Alerts, Fallback, Quorum, RealServer, Rhythm, Weighing};
use crate::server::CheckState;

pub(crate) fn settings(weight: u32) -> ServerSettings {
    ServerSettings {
        method: Method::Nat,
        weight,
        upper: 0,
        lower: 0,
        tunnel: Tunnel::Ipip,
        snat: None,
    }
}

pub(crate) fn real(address: &str) -> RealServer {
    let address: SocketAddr = address.parse().unwrap();
    RealServer {
        line: 1,
        id: ServerId(address),
        name: None,
        settings: settings(5),
        backup: false,
        checks: vec![Arc::new(Check {
            kind: Kind::Connect,
            target: address,
            path: Path::Own,
            source: None,
            user: None,
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        })],
        rhythm: Rhythm {
            interval: Duration::from_secs(1),
            fast: Duration::from_millis(100),
            down: Duration::from_secs(1),
            jitter: 0,
            rise: 1,
            fall: 2,
            hang: None,
        },
        weighing: Weighing::Configured,
    }
}

/// A service with these servers and a fallback.
pub(crate) fn virtual_service(address: &str, servers: Vec<RealServer>) -> Virtual {
    canonical(Virtual {
        line: 1,
        id: ServiceId::Address {
            protocol: Protocol::Tcp,
            address: address.parse().unwrap(),
        },
        settings: ServiceSettings {
            scheduler: "wrr".to_owned(),
            scheduler_flags: 0,
            persistence: None,
            one_packet: false,
            engine: None,
            filter: None,
            redispatch: Some(false),
            on_down: None,
            timeouts: None,
        },
        servers,
        fallbacks: vec![Fallback {
            id: ServerId("10.0.0.99:80".parse().unwrap()),
            settings: settings(1),
        }],
        fallback_command: None,
        quiescent: false,
        readd_quiescent: false,
        clean_stop: true,
        on_down: OnDown::Keep,
        quorum: Quorum::default(),
        all_backups: false,
        observe: None,
        names: Vec::new(),
        slow_start: Duration::ZERO,
        alerts: Alerts::default(),
        monitor_file: None,
        service_name: None,
        comment: None,
    })
}

fn two() -> Virtual {
    virtual_service(
        "10.9.9.9:80",
        vec![real("10.0.0.1:80"), real("10.0.0.2:80")],
    )
}

fn table(weights: &[(&str, u32)]) -> Wanted {
    let server =
        |(address, weight): &(&str, u32)| (ServerId(address.parse().unwrap()), settings(*weight));
    Wanted {
        settings: two().settings,
        servers: weights.iter().map(server).collect(),
    }
}

fn say(service: &mut Service, server: usize, state: State) -> Reconciled {
    let view = CheckState {
        state,
        confirmed: true,
    };
    service.servers[server].record(0, view, None);
    service.reconcile(Instant::now())
}

/// Host of the server and weight of each change; `-` is no entry.
fn changes(reconciled: &Reconciled) -> Vec<String> {
    let line = |change: &Change| {
        let weight = change
            .after
            .map_or("-".to_owned(), |s| s.weight.to_string());
        let address = change.server.0.ip().to_string();
        let host = address.rsplit('.').next().unwrap_or_default().to_owned();
        format!("{host}={weight}")
    };
    reconciled.update.changes().iter().map(line).collect()
}

#[test]
fn a_fresh_service_waits_for_its_first_probes() {
    let mut service = Service::adopt(two(), None);
    assert_eq!(changes(&service.reconcile(Instant::now())), [""; 0]);
    assert_eq!(changes(&say(&mut service, 0, State::Down)), [""; 0]);
    assert_eq!(changes(&say(&mut service, 1, State::Down)), ["99=1"]);
    assert_eq!(changes(&say(&mut service, 1, State::Up)), ["2=5", "99=-"]);
}

#[test]
fn an_adopted_table_is_left_as_it_is_but_for_what_the_file_does_not_know() {
    let found = table(&[("10.0.0.1:80", 5), ("10.0.0.2:80", 0), ("10.0.0.7:80", 1)]);
    let mut service = Service::adopt(two(), Some(&found));
    let reconciled = service.reconcile(Instant::now());
    assert_eq!(changes(&reconciled), ["7=-"]);
    assert_eq!(reconciled.update.changes()[0].role, Role::Unknown);
    // One probe later.
    assert_eq!(changes(&say(&mut service, 0, State::Up)), [""; 0]);
    assert_eq!(changes(&say(&mut service, 1, State::Down)), ["2=-"]);
}

#[test]
fn a_fallback_that_serves_goes_on_to_serve_through_a_restart() {
    let mut service = Service::adopt(two(), Some(&table(&[("10.0.0.99:80", 1)])));
    assert_eq!(changes(&service.reconcile(Instant::now())), [""; 0]);
    say(&mut service, 0, State::Down);
    assert_eq!(changes(&say(&mut service, 1, State::Down)), [""; 0]);
}

#[test]
fn a_quiescent_server_keeps_its_entry_and_its_thresholds() {
    let mut configured = two();
    configured.quiescent = true;
    configured.servers[0].settings.upper = 100;
    let mut service = Service::adopt(configured, None);
    assert_eq!(changes(&service.reconcile(Instant::now())), ["1=0", "2=0"]);
    assert_eq!(changes(&say(&mut service, 0, State::Up)), ["1=5"]);
    say(&mut service, 1, State::Up);
    let reconciled = say(&mut service, 0, State::Down);
    assert_eq!(changes(&reconciled), ["1=0"]);
    assert_eq!(reconciled.update.changes()[0].after.unwrap().upper, 100);
}

#[test]
fn each_change_is_reported_once() {
    let mut service = Service::adopt(two(), None);
    say(&mut service, 0, State::Down);
    let reconciled = say(&mut service, 1, State::Down);
    let second = service.servers[1].configured.id;
    assert_eq!(
        reconciled.changes,
        [
            StateChange::Server(second, State::Down),
            StateChange::Fallback(true),
            StateChange::OutOfService(true),
        ]
    );
    let reconciled = service.reconcile(Instant::now());
    assert!(
        reconciled.update.is_empty() && reconciled.changes.is_empty() && reconciled.wake.is_none()
    );
}

#[test]
fn a_reload_keeps_the_state_of_servers_that_stay() {
    let mut service = Service::adopt(two(), None);
    say(&mut service, 0, State::Up);
    say(&mut service, 1, State::Down);
    let mut configured = two();
    configured.servers.insert(0, real("10.0.0.3:80"));
    configured.servers[1].settings.weight = 7;
    service.reconfigure(canonical(configured), None);
    // The first has another weight; the new one waits for its first probe.
    assert_eq!(changes(&service.reconcile(Instant::now())), ["1=7"]);
    assert_eq!(service.servers[2].state(), State::Down);
    let mut configured = two();
    configured.servers.remove(0);
    service.reconfigure(configured, None);
    // The only one that is left is known to be down.
    assert_eq!(changes(&service.reconcile(Instant::now())), ["99=1", "1=-"]);
}

#[test]
fn a_refused_update_is_made_again() {
    let mut service = Service::adopt(two(), None);
    let reconciled = say(&mut service, 0, State::Up);
    assert_eq!(changes(&reconciled), ["1=5"]);
    service.refused(&reconciled.update);
    assert_eq!(changes(&service.reconcile(Instant::now())), ["1=5"]);
}

#[test]
fn a_backup_that_is_relieved_keeps_its_connections() {
    let mut configured = two();
    configured.servers[1].backup = true;
    let mut service = Service::adopt(configured, None);
    say(&mut service, 0, State::Down);
    assert_eq!(changes(&say(&mut service, 1, State::Up)), ["2=5"]);
    assert_eq!(changes(&say(&mut service, 0, State::Up)), ["1=5", "2=0"]);
}

#[test]
fn slow_start_grows_step_by_step() {
    let mut configured = two();
    configured.slow_start = Duration::from_secs(5);
    let mut service = Service::adopt(configured, None);
    say(&mut service, 0, State::Down);
    let reconciled = say(&mut service, 0, State::Up);
    assert_eq!(changes(&reconciled), ["1=1"]);
    let mut wake = reconciled.wake;
    let mut weights = Vec::new();
    while let Some(moment) = wake {
        let reconciled = service.reconcile(moment);
        weights.extend(changes(&reconciled));
        wake = reconciled.wake;
    }
    assert_eq!(weights, ["1=2", "1=3", "1=4", "1=5"]);
}

#[test]
fn the_fallback_command_needs_no_fallback_server() {
    let mut configured = two();
    configured.fallbacks.clear();
    let mut service = Service::adopt(configured, None);
    say(&mut service, 0, State::Down);
    let out = |reconciled: &Reconciled| {
        let changes = reconciled.changes.iter();
        changes
            .filter(|change| matches!(change, StateChange::OutOfService(_)))
            .copied()
            .collect::<Vec<_>>()
    };
    let reconciled = say(&mut service, 1, State::Down);
    assert_eq!(out(&reconciled), [StateChange::OutOfService(true)]);
    let reconciled = say(&mut service, 1, State::Up);
    assert_eq!(out(&reconciled), [StateChange::OutOfService(false)]);
}

#[test]
fn connections_follow_ondown_however_a_server_is_taken_out() {
    let mut configured = two();
    configured.on_down = OnDown::Reset;
    let first = configured.servers[0].id;
    let mut service = Service::adopt(configured, None);
    say(&mut service, 0, State::Up);
    say(&mut service, 1, State::Up);
    let (lost, back) = (vec![(first, OnDown::Reset)], vec![(first, OnDown::Keep)]);
    // Down and up.
    assert_eq!(say(&mut service, 0, State::Down).turned, lost);
    assert_eq!(service.reconcile(Instant::now()).turned, []);
    assert_eq!(say(&mut service, 0, State::Up).turned, back);
    // By the operator, and by a file of the maintenance directory.
    service.servers[0].admin = AdminState::Maint;
    assert_eq!(service.reconcile(Instant::now()).turned, lost);
    service.servers[0].admin = AdminState::Ready;
    assert_eq!(service.reconcile(Instant::now()).turned, []);
    assert_eq!(say(&mut service, 0, State::Up).turned, back);
    service.servers[0].maintenance = true;
    assert_eq!(service.reconcile(Instant::now()).turned, lost);
    service.servers[0].maintenance = false;
    assert_eq!(say(&mut service, 0, State::Up).turned, back);
    // Drained servers keep their connections.
    service.servers[0].admin = AdminState::Drain;
    assert_eq!(service.reconcile(Instant::now()).turned, []);
}

#[test]
fn a_server_that_serves_as_the_fallback_keeps_its_connections() {
    let mut configured = two();
    configured.on_down = OnDown::Reset;
    let (first, second) = (configured.servers[0].id, configured.servers[1].id);
    configured.fallbacks[0].id = first;
    let mut service = Service::adopt(configured, None);
    say(&mut service, 0, State::Down);
    let reconciled = say(&mut service, 1, State::Down);
    assert!(service.pool.fallback);
    let back = (first, OnDown::Keep);
    assert_eq!(reconciled.turned, [back, (second, OnDown::Reset)]);
}
