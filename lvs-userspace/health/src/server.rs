//! One real server of a virtual service: its state, from its checks, the operator's overrides, its agent and the
//! maintenance directory. Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_api::health::{AdminState, State, Weight};

use super::agent::AgentState;
use super::observe::FailureWindow;
use super::outcome::Outcome;
use super::pool::MemberState;
use super::weight::{self, ResponseTime};
use crate::check::Kind;
use crate::model::{RealServer, Weighing};

/// State of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckState {
    /// Up or down, after `rise` or `fall` outcomes in a row.
    pub(crate) state: State,
    /// True if the state rests on a probe.
    pub(crate) confirmed: bool,
}

impl CheckState {
    /// The state before the first outcome.
    pub(crate) const UNKNOWN: Self = Self {
        state: State::Unknown,
        confirmed: false,
    };
}

/// The times that a real server was down.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Downs {
    /// Their number.
    pub(crate) times: u64,
    over: Duration,
    since: Option<Instant>,
}

impl Downs {
    fn follow(&mut self, state: State, now: Instant) {
        if let Some(since) = self.since.take() {
            self.over += now.saturating_duration_since(since);
        }
        if state == State::Down {
            self.times += 1;
            self.since = Some(now);
        }
    }

    /// Their time, that of now included.
    pub(crate) fn total(&self, now: Instant) -> Duration {
        let lasting = self.since.map(|since| now.saturating_duration_since(since));
        self.over + lasting.unwrap_or_default()
    }
}

/// A real server.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is somebody else's word, and any of them may come with any other"
)]
pub(crate) struct Server {
    /// Its configuration.
    pub(crate) configured: RealServer,
    /// State of each check, in the file's order.
    checks: Vec<CheckState>,
    /// It had traffic before its first probe, and keeps it until a check says otherwise.
    adopted: bool,
    /// The operator's override of its state.
    pub(crate) admin: AdminState,
    /// The operator's override of its weight.
    pub(crate) weight_override: Weight,
    /// A file in the maintenance directory names it.
    pub(crate) maintenance: bool,
    /// Its state on the master, while this director is a backup.
    pub(crate) on_master: Option<State>,
    /// The state that is taken over from the master.
    mirrored: Option<State>,
    /// State given by its agent.
    pub(crate) agent: AgentState,
    /// Failures of its clients' connections.
    pub(crate) failures: FailureWindow,
    /// Its watch was told of too many of them, and has not reported yet what follows.
    pub(crate) condemned: bool,
    exit_weight: Option<u32>,
    response: ResponseTime,
    state: State,
    /// It has been down, or taken out: when it comes up again it has recovered.
    was_out: bool,
    /// The tables treat its connections as those of a server that is down.
    pub(crate) gone: bool,
    recovered: Option<Instant>,
    /// The times that it was down.
    pub(crate) downs: Downs,
    /// The last outcome of each check.
    outcomes: Vec<Option<Arc<Outcome>>>,
    /// The check that had an outcome last.
    newest: usize,
    /// The moment at which its state began; none: it was not looked at yet.
    pub(crate) since: Option<Instant>,
}

impl Server {
    /// A server without any outcome; `adopted`: it has traffic already.
    pub(crate) fn new(configured: RealServer, adopted: bool) -> Self {
        let checks = initial(&configured);
        let mut server = Self {
            configured,
            checks,
            adopted,
            admin: AdminState::Ready,
            weight_override: Weight::Configured,
            maintenance: false,
            on_master: None,
            mirrored: None,
            agent: AgentState::default(),
            failures: FailureWindow::default(),
            condemned: false,
            exit_weight: None,
            response: ResponseTime::default(),
            state: State::Unknown,
            was_out: false,
            gone: false,
            recovered: None,
            downs: Downs::default(),
            outcomes: Vec::new(),
            newest: 0,
            since: None,
        };
        server.state = server.derive_state();
        server
    }

    /// Takes a new configuration. With other checks its state stays until their first outcomes.
    pub(crate) fn reconfigure(&mut self, configured: RealServer) {
        let other_checks = self.configured.checks != configured.checks
            || self.configured.rhythm != configured.rhythm;
        if other_checks {
            self.adopted = self.state == State::Up;
            self.checks = initial(&configured);
            self.outcomes.clear();
        }
        if self.configured.weighing != configured.weighing {
            self.agent = AgentState::default();
            self.exit_weight = None;
            self.response = ResponseTime::default();
        }
        self.configured = configured;
    }

    /// The state, as of the last [`Self::update_state`].
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// Returns whether it gets neither traffic nor probes.
    pub(crate) fn is_out(&self) -> bool {
        self.maintenance || self.admin == AdminState::Maint
    }

    /// Returns whether it is not probed.
    pub(crate) fn is_paused(&self) -> bool {
        self.is_out() || self.mirrored.is_some()
    }

    /// Returns whether this director's own probes find it up.
    pub(crate) fn is_reached(&self) -> bool {
        let good = |it: &CheckState| it.state == State::Up && it.confirmed;
        !self.is_paused() && self.state == State::Up && self.checks.iter().all(good)
    }

    /// Takes over the state on the master; none: its own probes decide again, and the state stays until their first
    /// outcomes. True: something changed.
    pub(crate) fn mirror(&mut self, state: Option<State>) -> bool {
        if self.mirrored == state {
            return false;
        }
        if state.is_none() {
            self.adopted = self.state == State::Up;
            self.checks = initial(&self.configured);
            self.outcomes.clear();
        }
        self.mirrored = state;
        true
    }

    /// Records the state of a check, and the outcome that led to it, if there is one.
    pub(crate) fn record(
        &mut self,
        check: usize,
        check_state: CheckState,
        outcome: Option<&Arc<Outcome>>,
    ) {
        if let Some(place) = self.checks.get_mut(check) {
            *place = check_state;
        }
        self.condemned = false;
        let Some(outcome) = outcome else { return };
        if self.configured.weighing == Weighing::ExitCode
            && let Some(code) = outcome.exit_code
        {
            self.exit_weight = weight::of_exit_code(code);
        }
        if outcome.good {
            self.response.add(outcome.took);
        }
        if self.outcomes.len() <= check {
            self.outcomes.resize(check + 1, None);
        }
        if let Some(last) = self.outcomes.get_mut(check) {
            *last = Some(Arc::clone(outcome));
        }
        self.newest = check;
    }

    /// The outcome that explains its state: the last one of a check that keeps it down, else the last bad one,
    /// else the last. None while another director's health checks decide.
    pub(crate) fn last(&self) -> Option<&Arc<Outcome>> {
        if self.mirrored.is_some() {
            return None;
        }
        let checks = self.checks.iter().zip(&self.outcomes);
        let failed = checks
            .filter(|(check, _)| check.state == State::Down)
            .find_map(|(_, outcome)| outcome.as_ref());
        let bad = || self.outcomes.iter().flatten().find(|o| !o.good);
        let newest = || self.outcomes.get(self.newest)?.as_ref();
        failed.or_else(bad).or_else(newest)
    }

    /// Returns whether the last outcome of a check was inconclusive.
    pub(crate) fn was_skipped(&self, check: usize) -> bool {
        let last = self.outcomes.get(check).and_then(Option::as_ref);
        last.is_some_and(|outcome| outcome.inconclusive)
    }

    /// Returns whether it has the state that the master's health checks give it.
    pub(crate) const fn is_mirrored(&self) -> bool {
        self.mirrored.is_some()
    }

    /// Updates the state from everything recorded; returns it if it changed.
    pub(crate) fn update_state(&mut self, now: Instant) -> Option<State> {
        if self.is_out() {
            // Outcomes from before do not count afterwards.
            self.adopted = false;
            self.was_out = true;
            self.checks = initial(&self.configured);
        }
        let state = self.derive_state();
        if state == State::Down {
            self.adopted = false;
            self.was_out = true;
        }
        if state == self.state {
            return None;
        }
        self.state = state;
        self.downs.follow(state, now);
        if state == State::Up {
            self.recovered = self.was_out.then_some(now);
            self.was_out = false;
        }
        Some(state)
    }

    /// The state that [`Self::update_state`] would give it.
    pub(crate) fn next_state(&self) -> State {
        self.derive_state()
    }

    fn derive_state(&self) -> State {
        if let Some(mirrored) = self.mirrored {
            return mirrored;
        }
        let good = |check_state: &CheckState| match check_state.state {
            State::Up => check_state.confirmed || self.adopted,
            State::Unknown => self.adopted,
            State::Down => false,
        };
        if self.agent.down
            || self
                .checks
                .iter()
                .any(|check_state| check_state.state == State::Down)
        {
            State::Down
        } else if self.checks.iter().all(good) {
            State::Up
        } else if self.is_off() {
            State::Down
        } else {
            State::Unknown
        }
    }

    /// Returns whether a check of kind `off` keeps it down.
    fn is_off(&self) -> bool {
        let mut checks = self.configured.checks.iter();
        checks.any(|check| check.kind == Kind::Off)
    }

    /// Its state as a member of the pool, overrides included.
    pub(crate) fn member_state(&self) -> MemberState {
        let admin = self.admin.max(self.agent.admin);
        match self.state {
            _ if self.is_out() || admin == AdminState::Maint => MemberState::Out,
            State::Down => MemberState::Out,
            State::Unknown => MemberState::Unknown,
            State::Up if admin == AdminState::Drain => MemberState::Drain,
            State::Up => MemberState::Up,
        }
    }

    /// Its response time, if its weight follows it.
    pub(crate) fn response(&self) -> Option<f64> {
        let follows = self.configured.weighing == Weighing::ResponseTime;
        self.response.seconds().filter(|_| follows)
    }

    /// Its full weight. `best` is the shortest response time of all servers, in seconds. The operator's override
    /// takes precedence over anything measured.
    pub(crate) fn weight(&mut self, best: Option<f64>) -> u32 {
        let configured = self.configured.settings.weight;
        match self.weight_override {
            Weight::Absolute(weight) => weight,
            Weight::Percent(percent) => weight::part(configured, percent),
            Weight::Configured => match self.configured.weighing {
                Weighing::Configured => configured,
                Weighing::ExitCode => self.exit_weight.unwrap_or(configured),
                Weighing::Agent { .. } => weight::part(configured, self.agent.percent),
                Weighing::ResponseTime => self.response.weight(configured, best),
            },
        }
    }

    /// Its part of the full weight during slow start, and the moment at which that grows.
    pub(crate) fn ramped(
        &mut self,
        full: u32,
        slow_start: Duration,
        now: Instant,
    ) -> (u32, Option<Instant>) {
        let Some(recovered) = self.recovered else {
            return (full, None);
        };
        let ramp = weight::ramp(full, slow_start, now.saturating_duration_since(recovered));
        if ramp.1.is_none() {
            self.recovered = None;
        }
        (ramp.0, ramp.1.map(|after| recovered + after))
    }
}

/// States before the first outcomes: a check of kind `on` is up without any.
fn initial(configured: &RealServer) -> Vec<CheckState> {
    let check_state = |kind: &Kind| match kind {
        Kind::On => CheckState {
            state: State::Up,
            confirmed: true,
        },
        _ => CheckState::UNKNOWN,
    };
    configured
        .checks
        .iter()
        .map(|c| check_state(&c.kind))
        .collect()
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
