//! One real server of a virtual service: what its checks, the operator, its agent and the maintenance
//! directory together make of it. Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::agent::Report;
use super::outcome::Outcome;
use super::pool::Standing;
use super::weight::{self, ResponseTime};
use crate::check::Kind;
use crate::model::{RealServer, Weighing};
use lvs_api::health::{AdminState, State, Weight};

/// What a check's watch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// What the outcomes amount to.
    pub state: State,
    /// Whether that rests on a probe.
    pub confirmed: bool,
}

impl View {
    /// Before anybody has looked.
    pub const UNKNOWN: Self = Self {
        state: State::Unknown,
        confirmed: false,
    };
}

/// A real server.
#[derive(Clone, Debug)]
pub struct Server {
    /// What the file says about it.
    pub configured: RealServer,
    /// What each of its checks says, in the file's order.
    views: Vec<View>,
    /// It had traffic before anybody looked, and keeps it until a check says otherwise.
    adopted: bool,
    /// By order of the operator.
    pub admin: AdminState,
    /// By order of the operator.
    pub ordered: Weight,
    /// A file in the maintenance directory names it.
    pub maintenance: bool,
    /// What a master says it is.
    dictated: Option<State>,
    /// What its agent said last.
    pub agent: Report,
    exit_weight: Option<u32>,
    response: ResponseTime,
    state: State,
    /// It has been seen down, or was taken out: its return is one.
    was_out: bool,
    recovered: Option<Instant>,
    /// The last outcome of any of its checks.
    pub last: Option<Arc<Outcome>>,
    /// Seconds since 1970 at which its state began.
    pub since: u64,
}

impl Server {
    /// A server of which nothing is known, but whether it has traffic already.
    pub fn new(configured: RealServer, adopted: bool) -> Self {
        let views = initial(&configured);
        let mut server = Self {
            configured,
            views,
            adopted,
            admin: AdminState::Ready,
            ordered: Weight::Configured,
            maintenance: false,
            dictated: None,
            agent: Report::default(),
            exit_weight: None,
            response: ResponseTime::default(),
            state: State::Unknown,
            was_out: false,
            recovered: None,
            last: None,
            since: 0,
        };
        server.state = server.judge();
        server
    }

    /// The file says something else about it now. Other checks leave it as it is until they answer.
    pub fn reconfigure(&mut self, configured: RealServer) {
        let other_checks = self.configured.checks != configured.checks
            || self.configured.rhythm != configured.rhythm;
        if other_checks {
            self.adopted = self.state == State::Up;
            self.views = initial(&configured);
        }
        if self.configured.weighing != configured.weighing {
            self.agent = Report::default();
            self.exit_weight = None;
            self.response = ResponseTime::default();
        }
        self.configured = configured;
    }

    /// What its checks say, all together.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Neither traffic nor probes.
    pub fn is_out(&self) -> bool {
        self.maintenance || self.admin == AdminState::Maint
    }

    /// Nobody asks how it is.
    pub fn is_paused(&self) -> bool {
        self.is_out() || self.dictated.is_some()
    }

    /// It is what a master says, or again what probes say: then it is what it was until they say
    /// otherwise. True: something changed.
    pub fn dictate(&mut self, state: Option<State>) -> bool {
        if self.dictated == state {
            return false;
        }
        if state.is_none() {
            self.adopted = self.state == State::Up;
            self.views = initial(&self.configured);
        }
        self.dictated = state;
        true
    }

    /// One of its checks ended; `heard` is none if only the watch's state is known.
    pub fn hear(&mut self, check: usize, view: View, heard: Option<&Arc<Outcome>>) {
        if let Some(place) = self.views.get_mut(check) {
            *place = view;
        }
        let Some(outcome) = heard else { return };
        if self.configured.weighing == Weighing::ExitCode
            && let Some(code) = outcome.exit_code
        {
            self.exit_weight = weight::of_exit_code(code);
        }
        if outcome.good {
            self.response.add(outcome.took);
        }
        self.last = Some(Arc::clone(outcome));
    }

    /// Draws the conclusion of all that was told; the new state if it is another one.
    pub fn judge_anew(&mut self, now: Instant) -> Option<State> {
        if self.is_out() {
            // What was known before is not known afterwards.
            self.adopted = false;
            self.was_out = true;
            self.views = initial(&self.configured);
        }
        let state = self.judge();
        if state == State::Down {
            self.adopted = false;
            self.was_out = true;
        }
        if state == self.state {
            return None;
        }
        self.state = state;
        if state == State::Up {
            self.recovered = self.was_out.then_some(now);
            self.was_out = false;
        }
        Some(state)
    }

    /// What its state will be when the conclusion is drawn.
    pub fn would_be(&self) -> State {
        self.judge()
    }

    fn judge(&self) -> State {
        if let Some(dictated) = self.dictated {
            return dictated;
        }
        let good = |view: &View| match view.state {
            State::Up => view.confirmed || self.adopted,
            State::Unknown => self.adopted,
            State::Down => false,
        };
        if self.agent.down || self.views.iter().any(|view| view.state == State::Down) {
            State::Down
        } else if self.views.iter().all(good) {
            State::Up
        } else if self.is_off() {
            State::Down
        } else {
            State::Unknown
        }
    }

    /// It has a check that never makes it up.
    fn is_off(&self) -> bool {
        let mut checks = self.configured.checks.iter();
        checks.any(|check| check.kind == Kind::Off)
    }

    /// Where it stands among the others.
    pub fn standing(&self) -> Standing {
        let admin = self.admin.max(self.agent.admin);
        match self.state {
            _ if self.is_out() || admin == AdminState::Maint => Standing::Out,
            State::Down => Standing::Out,
            State::Unknown => Standing::Unknown,
            State::Up if admin == AdminState::Drain => Standing::Drain,
            State::Up => Standing::Up,
        }
    }

    /// Its response time, smoothed, if its weight follows it.
    pub fn response(&self) -> Option<f64> {
        let follows = self.configured.weighing == Weighing::ResponseTime;
        self.response.seconds().filter(|_| follows)
    }

    /// Its weight when it has its whole share. `best` is the shortest response time of all servers. An
    /// order of the operator counts more than anything measured.
    pub fn weight(&mut self, best: Option<f64>) -> u32 {
        let configured = self.configured.settings.weight;
        match self.ordered {
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

    /// What it has of that weight while it starts slowly, and when it will be more.
    pub fn ramped(
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

/// What is known of checks that nobody has to make.
fn initial(configured: &RealServer) -> Vec<View> {
    let view = |kind: &Kind| match kind {
        Kind::On => View {
            state: State::Up,
            confirmed: true,
        },
        _ => View::UNKNOWN,
    };
    configured.checks.iter().map(|c| view(&c.kind)).collect()
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
