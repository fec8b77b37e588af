//! Log lines, events and commands that follow from changes of state, in ldirectord's words.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lvs_api::health::{AdminState, Event, State};
use lvs_api::model::ServerId;
use tracing::{info, warn};

use crate::clock::now;
use crate::model::{Globals, Virtual};
use crate::runner::ProbeReport;
use crate::server::Server;
use crate::service::{Service, StateChange};
use crate::tables::{Name, protocol_name};
use crate::watch::Step;
use crate::writer::Job;

/// Stands for the outcome where the state is the master's.
pub(super) const MIRRORED: &str = "as the master's health checks have it";

/// Logs the effect of an outcome short of a change of state.
pub(super) fn step(service: &Virtual, server: &Server, report: &ProbeReport) {
    let (address, name) = (server.configured.id.0, Name(service.id));
    let protocol = protocol_name(&service.id);
    let text = &report.outcome.text;
    match report.step {
        Step::SoftFailure(number, of) => info!(
            "Soft failure real server: {address} ({protocol}:{name}) failure {number}/{of}: {text}"
        ),
        Step::Recovered => {
            info!("Resetting soft failure count: {address} ({protocol}:{name})");
        }
        Step::Skipped => {
            warn!("{address} ({protocol}:{name}) could not be probed: {text}");
        }
        Step::Steady | Step::Rising | Step::Turned => {}
    }
}

/// The current time.
pub(super) fn seconds_since_1970() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// The current time in whole seconds.
pub(super) fn whole_seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Sets the moment at which servers entered their state.
pub(super) fn stamp(service: &mut Service, changes: &[StateChange], now: Instant) {
    for change in changes {
        if let StateChange::Server(id, _) = change {
            let mut servers = service.servers.iter_mut();
            if let Some(server) = servers.find(|server| server.configured.id == *id) {
                server.since = Some(now);
            }
        }
    }
}

/// Sets that moment for servers that have none.
pub(super) fn stamp_new(service: &mut Service) {
    for server in &mut service.servers {
        server.since.get_or_insert_with(now);
    }
}

/// The events for changes of a service.
pub(super) fn events(service: &Service, changes: &[StateChange], time: f64) -> Vec<Event> {
    changes
        .iter()
        .filter_map(|change| event(service, *change, time))
        .collect()
}

fn event(service: &Service, change: StateChange, time: f64) -> Option<Event> {
    let last = |id: ServerId| {
        let mut servers = service.servers.iter();
        let server = servers.find(|server| server.configured.id == id)?;
        let agent = &server.agent;
        if server.state() == State::Down && agent.down {
            return Some(format!("its agent says it is down: {}", agent.reason));
        }
        if server.is_mirrored() {
            return Some(MIRRORED.to_owned());
        }
        server.last().map(|outcome| outcome.text.clone())
    };
    let (server, event, reason) = match change {
        StateChange::Server(_, State::Unknown) | StateChange::OutOfService(_) => return None,
        StateChange::Server(id, State::Up) => (Some(id), "up", last(id).unwrap_or_default()),
        StateChange::Server(id, State::Down) => (Some(id), "down", last(id).unwrap_or_default()),
        StateChange::Fallback(true) => {
            let why = match service.pool.quorum {
                Some(false) => "too few real servers are up",
                _ => "no real server is up",
            };
            (None, "fallback-on", why.to_owned())
        }
        StateChange::Fallback(false) => (None, "fallback-off", "a real server is up".to_owned()),
        StateChange::Empty => (None, "empty", "no server is up".to_owned()),
        StateChange::Quorum(true) => (None, "quorum-gained", quorum(service)),
        StateChange::Quorum(false) => (None, "quorum-lost", quorum(service)),
        StateChange::Admin(id, state) => {
            let word = match state {
                AdminState::Ready => "ready",
                AdminState::Drain => "drain",
                AdminState::Maint => "maint",
            };
            (Some(id), word, "by order of the operator".to_owned())
        }
        StateChange::Maintenance(id, true) => {
            (Some(id), "maint", "Server in maintenance".to_owned())
        }
        StateChange::Maintenance(id, false) => (
            Some(id),
            "ready",
            "Server no longer in maintenance".to_owned(),
        ),
    };
    Some(Event {
        time,
        service: Some(service.configured.id),
        server: server.map(|id| id.0),
        subject: None,
        event: event.to_owned(),
        reason,
        text: String::new(),
        weight: server.and_then(|id| service.desired_weight(&id)),
    })
}

fn quorum(service: &Service) -> String {
    let quorum = &service.configured.quorum;
    let (weight, hysteresis) = (quorum.weight, quorum.hysteresis);
    format!("the quorum is {weight}, its hysteresis {hysteresis}")
}

/// The commands to run for changes of a service.
pub(super) fn commands(service: &Service, changes: &[StateChange]) -> Vec<String> {
    let quorum = &service.configured.quorum;
    let command = |change: &StateChange| match change {
        StateChange::OutOfService(true) => fallback_command(service, "start"),
        StateChange::OutOfService(false) => fallback_command(service, "stop"),
        StateChange::Quorum(true) => quorum.up_command.clone(),
        StateChange::Quorum(false) => quorum.down_command.clone(),
        _ => None,
    };
    changes.iter().filter_map(command).collect()
}

fn fallback_command(service: &Service, verb: &str) -> Option<String> {
    let command = service.configured.fallback_command.as_ref()?;
    let id = service.configured.id;
    Some(format!(
        "{command} {verb} {} {}",
        Name(id),
        protocol_name(&id)
    ))
}

/// The job that withdraws a service.
pub(super) fn withdrawal(service: &Service, phase: &'static str, globals: &Globals) -> Job {
    let stop = service
        .pool
        .out_of_service()
        .then(|| fallback_command(service, "stop"));
    Job {
        commands: stop.flatten().into_iter().collect(),
        event_command: globals.event_command.clone(),
        ..Job::new(service.withdrawal(phase))
    }
}
