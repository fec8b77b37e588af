//! A watch over one check: its state, from the outcomes, and the moment of the next probe. Pure: time and randomness
//! are arguments.

use std::time::{Duration, Instant};

use lvs_api::health::State;

use crate::hang::{FAILURES, Pace};
use crate::model::{OnError, Rhythm};

/// Probes of servers that answer fast are late after this part of `hangtimeout`.
const LATE: u32 = 5;

/// State and schedule of one check.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    rhythm: Rhythm,
    state: State,
    /// The state rests on a probe, not on what was found in the tables.
    confirmed: bool,
    /// Outcomes in a row that speak for the other state.
    towards: u32,
    /// There was a sign that the server is dead; the next good outcome clears it.
    alarmed: bool,
    /// Its regular probes have been moved to a random place in the interval.
    spread: bool,
    due: Instant,
    ended: Option<Instant>,
    /// The data path found it down, and no probe confirmed it: good probes do not count until then.
    held: Option<Instant>,
}

/// Effect of an outcome on the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// None.
    Steady,
    /// A failure that does not count yet: its number, and how many it takes.
    SoftFailure(u32, u32),
    /// None: the probe could not be made, for a reason of the director's own.
    Skipped,
    /// A good outcome after soft failures, which are cleared.
    Recovered,
    /// A good outcome that does not count yet.
    Rising,
    /// The state changed.
    Turned,
}

impl Watch {
    /// A watch that is up until a probe says otherwise if `assumed`, else unknown until the first outcome.
    pub(crate) const fn new(rhythm: Rhythm, assumed: bool, due: Instant) -> Self {
        Self {
            rhythm,
            state: if assumed { State::Up } else { State::Unknown },
            confirmed: false,
            towards: 0,
            alarmed: false,
            spread: false,
            due,
            ended: None,
            held: None,
        }
    }

    /// The state after the outcomes so far.
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// Returns whether the state rests on a probe.
    pub(crate) const fn confirmed(&self) -> bool {
        self.confirmed
    }

    /// Returns whether good probes do not count yet, because the data path found the server down.
    pub(crate) const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Outcomes in a row that speak for the other state, and how many it takes.
    pub(crate) const fn towards(&self) -> (u32, u32) {
        (self.towards, self.needed())
    }

    /// When the next probe is to begin.
    pub(crate) const fn due(&self) -> Instant {
        self.due
    }

    const fn needed(&self) -> u32 {
        match self.state {
            State::Up => self.rhythm.fall,
            State::Down => self.rhythm.rise,
            State::Unknown => 1,
        }
    }

    /// Records an outcome. `random` is uniformly distributed.
    pub(crate) fn record(&mut self, good: bool, now: Instant, random: u32) -> Step {
        let before = self.towards;
        // From the first probe that fails, too, probes alone decide.
        self.held = self.held.filter(|until| good && now < *until);
        let agrees = match self.state {
            State::Up => good,
            State::Down => !good || self.held.is_some(),
            State::Unknown => false,
        };
        let step = if agrees {
            self.towards = 0;
            if self.state == State::Up && before > 0 {
                Step::Recovered
            } else {
                Step::Steady
            }
        } else {
            self.towards += 1;
            if self.towards >= self.needed() {
                self.state = if good { State::Up } else { State::Down };
                self.towards = 0;
                Step::Turned
            } else if good {
                Step::Rising
            } else {
                Step::SoftFailure(self.towards, self.needed())
            }
        };
        self.confirmed |= good || step == Step::Turned;
        self.alarmed &= !good;
        self.ended = Some(now);
        self.due = now + self.pause(random);
        if let Some(until) = self.held {
            self.due = self.due.min(until);
        }
        step
    }

    /// Records a server that hangs.
    pub(crate) fn record_hang(&mut self, now: Instant, random: u32) -> Step {
        self.towards = self.towards.saturating_add(FAILURES - 1);
        self.record(false, now, random)
    }

    /// The time without an answer that makes a server of this pace suspect of hanging; none: it has the time of its
    /// check.
    pub(crate) fn hang_limit(&self, pace: &Pace) -> Option<Duration> {
        let least = self.rhythm.hang.filter(|_| self.state == State::Up)?;
        pace.limit(least)
    }

    /// The time without an answer that is longer than usual for a server of this pace; none: hangs are not looked for.
    /// Never more than [`Self::hang_limit`].
    pub(crate) fn late_after(&self, pace: &Pace) -> Option<Duration> {
        let least = self.rhythm.hang?;
        Some(pace.limit(least / LATE).unwrap_or(least))
    }

    /// Records failures of clients' connections that the data path saw. Where they make the server be down, it stays so
    /// for this time unless a probe confirms it.
    pub(crate) fn record_observed(
        &mut self,
        on_error: OnError,
        hold: Duration,
        now: Instant,
    ) -> Option<Step> {
        if self.state == State::Down {
            return None;
        }
        let needed = self.needed();
        self.towards = match on_error {
            OnError::FailCheck => self.towards + 1,
            OnError::SuddenDeath => self.towards.max(needed.saturating_sub(1)),
            OnError::MarkDown => needed,
        };
        // The next probe has its say at once.
        self.nudge(now);
        if self.towards >= needed {
            self.state = State::Down;
            self.confirmed = true;
            self.towards = 0;
            self.held = Some(now + hold);
            Some(Step::Turned)
        } else if self.towards > 0 {
            Some(Step::SoftFailure(self.towards, needed))
        } else {
            Some(Step::Steady)
        }
    }

    /// Records that a probe could not be made, which says nothing about the server.
    pub(crate) fn record_skipped(&mut self, now: Instant, random: u32) -> Step {
        self.ended = Some(now);
        self.due = now + self.pause(random);
        Step::Skipped
    }

    /// Makes the next probe due now, but not sooner than `fast` after the last one: there are signs that the server is
    /// dead.
    pub(crate) fn nudge(&mut self, now: Instant) {
        if self.state == State::Down {
            return;
        }
        self.alarmed = true;
        let earliest = self.ended.map_or(now, |ended| ended + self.rhythm.fast);
        self.due = self.due.min(earliest.max(now));
    }

    /// Starts anew after a pause: the state is unknown.
    pub(crate) fn resume(&mut self, now: Instant) {
        *self = Self::new(self.rhythm, false, now);
    }

    /// Time from the end of a probe to the next one.
    fn pause(&mut self, random: u32) -> Duration {
        let about_to_change = self.towards > 0 || self.alarmed;
        let regular = match self.state {
            _ if about_to_change => return self.jittered(self.rhythm.fast, random),
            State::Down => self.rhythm.down,
            State::Up | State::Unknown => self.rhythm.interval,
        };
        if self.spread {
            return self.jittered(regular, random);
        }
        // Watches that were started together are spread over the interval.
        self.spread = true;
        regular.mul_f64(fraction(random))
    }

    fn jittered(&self, interval: Duration, random: u32) -> Duration {
        let part = f64::from(self.rhythm.jitter.min(100)) / 100.0;
        interval.mul_f64(1.0 + part * (2.0 * fraction(random) - 1.0))
    }
}

fn fraction(random: u32) -> f64 {
    f64::from(random) / f64::from(u32::MAX)
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
