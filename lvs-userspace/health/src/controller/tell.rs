//! What people and programs are told, in ldirectord's words.

use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

use crate::model::{Globals, Virtual};
use crate::runner::Report;
use crate::server::Server;
use crate::service::{Happened, Service};
use crate::tables::{Name, protocol_name};
use crate::watch::Step;
use crate::writer::Job;
use lvs_api::health::{AdminState, Event, State};
use lvs_api::model::ServerId;

/// What a probe changed short of the state.
pub(super) fn step(service: &Virtual, server: &Server, report: &Report) {
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

/// Now.
pub(super) fn seconds_since_1970() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds since 1970 are neither negative nor too many"
)]
const fn whole(seconds: f64) -> u64 {
    seconds as u64
}

/// Notes since when servers are in their state.
pub(super) fn stamp(service: &mut Service, happened: &[Happened], time: f64) {
    for happened in happened {
        if let Happened::Server(id, _) = happened {
            let mut servers = service.servers.iter_mut();
            if let Some(server) = servers.find(|server| server.configured.id == *id) {
                server.since = whole(time);
            }
        }
    }
}

/// Servers that nobody has looked at yet are in their state from now on.
pub(super) fn stamp_new(service: &mut Service) {
    let time = whole(seconds_since_1970());
    for server in service
        .servers
        .iter_mut()
        .filter(|server| server.since == 0)
    {
        server.since = time;
    }
}

/// The events that tell what happened to a service.
pub(super) fn events(service: &Service, happened: &[Happened], time: f64) -> Vec<Event> {
    happened
        .iter()
        .filter_map(|happened| event(service, *happened, time))
        .collect()
}

fn event(service: &Service, happened: Happened, time: f64) -> Option<Event> {
    let last = |id: ServerId| {
        let mut servers = service.servers.iter();
        let server = servers.find(|server| server.configured.id == id)?;
        let agent = &server.agent;
        if server.state() == State::Down && agent.down {
            return Some(format!("its agent says it is down: {}", agent.reason));
        }
        server.last.as_ref().map(|outcome| outcome.text.clone())
    };
    let (server, event, reason) = match happened {
        Happened::Server(_, State::Unknown) => return None,
        Happened::Server(id, State::Up) => (Some(id), "up", last(id).unwrap_or_default()),
        Happened::Server(id, State::Down) => (Some(id), "down", last(id).unwrap_or_default()),
        Happened::Fallback(true) => {
            let why = match service.pool.quorum {
                Some(false) => "too few real servers are up",
                _ => "no real server is up",
            };
            (None, "fallback-on", why.to_owned())
        }
        Happened::Fallback(false) => (None, "fallback-off", "a real server is up".to_owned()),
        Happened::Empty => (None, "empty", "no server is up".to_owned()),
        Happened::Quorum(true) => (None, "quorum-gained", quorum(service)),
        Happened::Quorum(false) => (None, "quorum-lost", quorum(service)),
        Happened::Admin(id, state) => {
            let word = match state {
                AdminState::Ready => "ready",
                AdminState::Drain => "drain",
                AdminState::Maint => "maint",
            };
            (Some(id), word, "by order of the operator".to_owned())
        }
        Happened::Maintenance(id, true) => (Some(id), "maint", "Server in maintenance".to_owned()),
        Happened::Maintenance(id, false) => (
            Some(id),
            "ready",
            "Server no longer in maintenance".to_owned(),
        ),
    };
    Some(Event {
        time,
        service: service.configured.id,
        server: server.map(|id| id.0),
        event: event.to_owned(),
        reason,
        text: String::new(),
        weight: server.and_then(|id| service.entry(&id)),
    })
}

fn quorum(service: &Service) -> String {
    let quorum = &service.configured.quorum;
    let (weight, hysteresis) = (quorum.weight, quorum.hysteresis);
    format!("the quorum is {weight}, its hysteresis {hysteresis}")
}

/// The commands to run for what happened to a service.
pub(super) fn commands(service: &Service, happened: &[Happened]) -> Vec<String> {
    let quorum = &service.configured.quorum;
    let command = |happened: &Happened| match happened {
        Happened::Fallback(true) => fallback_command(service, "start"),
        Happened::Fallback(false) => fallback_command(service, "stop"),
        Happened::Quorum(true) => quorum.up_command.clone(),
        Happened::Quorum(false) => quorum.down_command.clone(),
        _ => None,
    };
    happened.iter().filter_map(command).collect()
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
        .fallback
        .then(|| fallback_command(service, "stop"));
    Job {
        commands: stop.flatten().into_iter().collect(),
        event_command: globals.event_command.clone(),
        ..Job::new(service.withdrawal(phase))
    }
}
