//! All watches: one for each check and rhythm, shared by all servers that have it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_api::health::{CheckDurations, State};
use lvs_api::model::{ServerId, ServiceId};

use super::check::{Check, Kind};
use super::clock::now;
use super::companions::Companions;
use super::outcome::Outcome;
use super::runner::{ProbeReport, Runner};
use super::running_watch::{Observed, RunningWatch};
use super::server::{CheckState, Server};
use super::service::Service;
use super::watch::Watch;
use crate::model::{Rhythm, Weighing};

/// Time between the first probes of two watches that are started together.
const APART: Duration = Duration::from_micros(20);

/// A check of a server that shares a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    /// The virtual service.
    pub(crate) service: ServiceId,
    /// Place of the server among its servers.
    pub(crate) server: usize,
    /// Place of the check among the server's checks.
    pub(crate) check: usize,
    /// Each outcome is wanted, also one that says nothing new.
    every: bool,
}

/// Equal checks at the same rhythm are one watch, but for services that observe their clients' connections: those are
/// of the one service.
type Key = (Arc<Check>, Rhythm, Option<ServiceId>);

struct Entry {
    key: Key,
    running: RunningWatch,
    subscribers: Vec<Subscriber>,
    view: CheckState,
    towards: (u32, u32),
    last: Option<Arc<Outcome>>,
}

impl Entry {
    /// Ends the subscriptions of a service.
    fn leave(&mut self, service: ServiceId) {
        self.subscribers.retain(|s| s.service != service);
        self.running.compare_with(service, None);
        self.running.companion().set_serves(service, false);
    }
}

/// All watches.
pub(crate) struct Watches {
    runner: Runner,
    entries: HashMap<u32, Entry>,
    by_key: HashMap<Key, u32>,
    by_service: HashMap<ServiceId, Vec<u32>>,
    /// Those without an outcome yet.
    unprobed: HashSet<u32>,
    next: u32,
    started: (Instant, u32),
}

impl Watches {
    /// None yet.
    pub(crate) fn new(runner: Runner) -> Self {
        Self {
            runner,
            entries: HashMap::new(),
            by_key: HashMap::new(),
            by_service: HashMap::new(),
            unprobed: HashSet::new(),
            next: 0,
            started: (now(), 0),
        }
    }

    /// Subscribes a service to the watches of its checks: those it had already go on undisturbed.
    pub(crate) fn subscribe(&mut self, service: &mut Service) {
        let id = service.configured.id;
        let before = self.by_service.remove(&id).unwrap_or_default();
        for number in &before {
            if let Some(entry) = self.entries.get_mut(number) {
                entry.leave(id);
            }
        }
        let mut numbers = Vec::new();
        for (place, server) in service.servers.iter_mut().enumerate() {
            let rhythm = server.configured.rhythm;
            let assumed = server.state() == State::Up;
            let every = service.configured.monitor_file.is_some()
                || server.configured.weighing == Weighing::ResponseTime;
            for check in 0..server.configured.checks.len() {
                let Some(asked) = server.configured.checks.get(check) else {
                    continue;
                };
                let observer = service.configured.observe.map(|_| id);
                match asked.kind {
                    Kind::Off => continue,
                    // Observed, it may go down, and comes back by a probe that is always good.
                    Kind::On if observer.is_none() => continue,
                    _ => {}
                }
                let key = (Arc::clone(asked), rhythm, observer);
                let number = match self.by_key.get(&key) {
                    Some(&number) => number,
                    None => self.begin(key, assumed),
                };
                if let Some(entry) = self.entries.get_mut(&number) {
                    entry.subscribers.push(Subscriber {
                        service: id,
                        server: place,
                        check,
                        every,
                    });
                    let mut subscribers = entry.subscribers.iter();
                    entry.running.report_every(subscribers.any(|s| s.every));
                    server.record(check, entry.view, entry.last.as_ref());
                }
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        self.compare(id, &numbers);
        self.by_service.insert(id, numbers);
        self.update_serving(service);
        self.end_unsubscribed(&before);
    }

    /// Has the watches of a service, one kind of check at a time, tell whether only one of its servers is silent.
    fn compare(&self, service: ServiceId, numbers: &[u32]) {
        let mut by_kind: HashMap<&Kind, Vec<&Entry>> = HashMap::new();
        for entry in numbers.iter().filter_map(|number| self.entries.get(number)) {
            if entry.key.1.hang.is_some() {
                by_kind.entry(&entry.key.0.kind).or_default().push(entry);
            }
        }
        for entries in by_kind.into_values() {
            let all = entries.iter().map(|entry| entry.running.companion());
            let companions: Companions = all.map(Arc::clone).collect();
            for entry in entries {
                let companions = Some(Arc::clone(&companions));
                entry.running.compare_with(service, companions);
            }
        }
    }

    /// Records which servers of a service new connections are scheduled to: these are compared with one another.
    pub(crate) fn update_serving(&self, service: &Service) {
        let id = service.configured.id;
        let serves = |s: &Subscriber| {
            let server = service.servers.get(s.server);
            let weight = server.and_then(|it| service.desired_weight(&it.configured.id));
            s.service == id && weight.is_some_and(|weight| weight > 0)
        };
        let numbers = self.by_service.get(&id).into_iter().flatten();
        for entry in numbers.filter_map(|number| self.entries.get(number)) {
            let serves = entry.subscribers.iter().any(serves);
            entry.running.companion().set_serves(id, serves);
        }
    }

    /// Ends the subscriptions of a service, and the watches that no other has.
    pub(crate) fn unsubscribe(&mut self, service: &ServiceId) {
        let before = self.by_service.remove(service).unwrap_or_default();
        for number in &before {
            if let Some(entry) = self.entries.get_mut(number) {
                entry.leave(*service);
            }
        }
        self.end_unsubscribed(&before);
    }

    fn end_unsubscribed(&mut self, numbers: &[u32]) {
        for number in numbers {
            let unsubscribed = self
                .entries
                .get(number)
                .is_some_and(|e| e.subscribers.is_empty());
            if let Some(entry) = unsubscribed.then(|| self.entries.remove(number)).flatten() {
                self.by_key.remove(&entry.key);
                self.unprobed.remove(number);
            }
        }
    }

    fn begin(&mut self, key: Key, assumed: bool) -> u32 {
        let (moment, now) = (self.started.0, now());
        self.started = if moment + APART * self.started.1 < now {
            (now, 1)
        } else {
            (moment, self.started.1 + 1)
        };
        let due = self.started.0 + APART * (self.started.1 - 1);
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let watch = Watch::new(key.1, assumed, due);
        let view = CheckState {
            state: watch.state(),
            confirmed: false,
        };
        let towards = watch.towards();
        let running = self.runner.start(number, Arc::clone(&key.0), watch);
        let entry = Entry {
            key: key.clone(),
            running,
            // As a rule there is one.
            subscribers: Vec::with_capacity(1),
            view,
            towards,
            last: None,
        };
        self.entries.insert(number, entry);
        self.by_key.insert(key, number);
        self.unprobed.insert(number);
        number
    }

    /// Records a report; returns the subscribers of its watch.
    pub(crate) fn record(&mut self, report: &ProbeReport) -> &[Subscriber] {
        let Some(entry) = self.entries.get_mut(&report.watch) else {
            return &[];
        };
        entry.view = report.view;
        entry.towards = report.towards;
        entry.last = Some(Arc::clone(&report.outcome));
        self.unprobed.remove(&report.watch);
        &entry.subscribers
    }

    /// Pauses the watches of this service whose subscribers are all paused, and resumes the others.
    pub(crate) fn update_pauses(
        &mut self,
        services: &mut HashMap<ServiceId, Service>,
        service: &ServiceId,
    ) {
        for number in self.by_service.get(service).into_iter().flatten() {
            let Some(entry) = self.entries.get_mut(number) else {
                continue;
            };
            let wants = |s: &Subscriber| {
                let server = services
                    .get(&s.service)
                    .and_then(|v| v.servers.get(s.server));
                server.is_some_and(|server| !server.is_paused())
            };
            let paused = !entry.subscribers.iter().any(wants);
            if entry.running.pause(paused) && !paused {
                entry.view = CheckState::UNKNOWN;
            }
            for subscriber in entry.subscribers.iter().filter(|s| s.service == *service) {
                let server = services
                    .get_mut(service)
                    .and_then(|service| service.servers.get_mut(subscriber.server));
                if let Some(server) = server.filter(|server| !server.is_paused()) {
                    server.record(subscriber.check, entry.view, None);
                }
            }
        }
    }

    /// Probes a real server at once: there are signs that it is dead.
    pub(crate) fn nudge(
        &self,
        services: &HashMap<ServiceId, Service>,
        service: &ServiceId,
        id: ServerId,
    ) {
        let servers = services.get(service).map_or(&[][..], |s| &s.servers);
        let Some(place) = servers.iter().position(|s| s.configured.id == id) else {
            return;
        };
        let numbers = self.by_service.get(service).into_iter().flatten();
        for entry in numbers.filter_map(|number| self.entries.get(number)) {
            let concerned = |s: &Subscriber| s.service == *service && s.server == place;
            if entry.subscribers.iter().any(concerned) {
                entry.running.nudge();
            }
        }
    }

    /// Counts failures of clients' connections for the first check of a real server.
    pub(crate) fn observe(&self, service: &ServiceId, place: usize, observed: Observed) {
        let numbers = self.by_service.get(service).into_iter().flatten();
        let checks = numbers.filter_map(|number| {
            let entry = self.entries.get(number)?;
            let mut subscribers = entry.subscribers.iter();
            let own = subscribers.find(|s| s.service == *service && s.server == place)?;
            Some((own.check, entry))
        });
        if let Some((_, entry)) = checks.min_by_key(|(check, _)| *check) {
            entry.running.observe(observed);
        }
    }

    /// Health checks that passed and those that failed, of each of a service's servers.
    pub(crate) fn tallies(&self, service: &ServiceId, servers: usize) -> Vec<(u64, u64)> {
        let mut all = vec![(0, 0); servers];
        let numbers = self.by_service.get(service).into_iter().flatten();
        for entry in numbers.filter_map(|number| self.entries.get(number)) {
            let (passed, failed) = entry.running.tally();
            for subscriber in entry.subscribers.iter().filter(|s| s.service == *service) {
                if let Some(tally) = all.get_mut(subscriber.server) {
                    *tally = (tally.0 + passed, tally.1 + failed);
                }
            }
        }
        all
    }

    /// Durations of all health checks that were made.
    pub(crate) fn durations(&self) -> Vec<CheckDurations> {
        self.runner.durations()
    }

    /// Outcomes towards another state, and how many it takes, for each of a service's servers: of the check that is
    /// closest to it.
    pub(crate) fn towards(&self, service: &ServiceId, servers: usize) -> Vec<(u32, u32)> {
        let mut all = vec![(0, 0); servers];
        let numbers = self.by_service.get(service).into_iter().flatten();
        for entry in numbers.filter_map(|number| self.entries.get(number)) {
            let of_service = |s: &&Subscriber| s.service == *service;
            for subscriber in entry.subscribers.iter().filter(of_service) {
                if let Some(furthest) = all.get_mut(subscriber.server) {
                    *furthest = entry.towards.max(*furthest);
                }
            }
        }
        all
    }

    /// Returns whether every watch has had an outcome, or only subscribers that are paused.
    pub(crate) fn all_probed(&self, services: &HashMap<ServiceId, Service>) -> bool {
        let out = |s: &Subscriber| {
            let server = services
                .get(&s.service)
                .and_then(|v| v.servers.get(s.server));
            server.is_none_or(Server::is_paused)
        };
        let unprobed = self.unprobed.iter();
        let mut entries = unprobed.filter_map(|number| self.entries.get(number));
        entries.all(|entry| entry.subscribers.iter().all(out))
    }
}

#[cfg(test)]
#[path = "watches_tests.rs"]
mod tests;
