//! The state of one check: what its outcomes amount to, and when it is made next. Pure: time and
//! chance come in as arguments.

use std::time::{Duration, Instant};

use crate::model::Rhythm;
use lvs_api::health::State;

/// One check under watch.
#[derive(Clone, Debug)]
pub struct Watch {
    rhythm: Rhythm,
    state: State,
    /// The state rests on a probe, not on what was found in the tables.
    confirmed: bool,
    /// Outcomes in a row that speak for the other state.
    towards: u32,
    /// Somebody saw a sign of the server's death; the next good outcome calms it.
    alarmed: bool,
    /// Its regular probes have begun at a place of their own in the interval.
    spread: bool,
    due: Instant,
    ended: Option<Instant>,
}

/// What an outcome made of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Steady,
    /// A failure that does not count yet: this one of so many.
    SoftFailure(u32, u32),
    /// Nothing: the probe could not be made, for a reason of the director's own.
    Skipped,
    /// A good outcome after soft failures: they are forgotten.
    Recovered,
    /// A good outcome that does not count yet.
    Rising,
    /// The state is another one.
    Turned,
}

impl Watch {
    /// Up until a probe says otherwise if it is `assumed` so, else unknown until the first outcome.
    pub const fn new(rhythm: Rhythm, assumed: bool, due: Instant) -> Self {
        Self {
            rhythm,
            state: if assumed { State::Up } else { State::Unknown },
            confirmed: false,
            towards: 0,
            alarmed: false,
            spread: false,
            due,
            ended: None,
        }
    }

    /// What the outcomes amount to.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether the state rests on a probe.
    pub const fn confirmed(&self) -> bool {
        self.confirmed
    }

    /// Outcomes in a row that speak for the other state, and how many it takes.
    pub const fn towards(&self) -> (u32, u32) {
        (self.towards, self.needed())
    }

    /// When the next probe is to begin.
    pub const fn due(&self) -> Instant {
        self.due
    }

    const fn needed(&self) -> u32 {
        match self.state {
            State::Up => self.rhythm.fall,
            State::Down => self.rhythm.rise,
            State::Unknown => 1,
        }
    }

    /// A probe ended. `chance` is any number, each as likely.
    pub fn heard(&mut self, good: bool, now: Instant, chance: u32) -> Step {
        let before = self.towards;
        let agrees = match self.state {
            State::Up => good,
            State::Down => !good,
            State::Unknown => false,
        };
        let step = if agrees {
            self.towards = 0;
            if good && before > 0 {
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
        self.due = now + self.pause(chance);
        step
    }

    /// A probe could not be made: that says nothing about the server.
    pub fn skipped(&mut self, now: Instant, chance: u32) -> Step {
        self.ended = Some(now);
        self.due = now + self.pause(chance);
        Step::Skipped
    }

    /// A sign that the server may be dead: it is asked now, but not more often than at the fast pace.
    pub fn nudge(&mut self, now: Instant) {
        if self.state == State::Down {
            return;
        }
        self.alarmed = true;
        let earliest = self.ended.map_or(now, |ended| ended + self.rhythm.fast);
        self.due = self.due.min(earliest.max(now));
    }

    /// Probes begin anew after a time without any: nothing is known.
    pub fn resume(&mut self, now: Instant) {
        *self = Self::new(self.rhythm, false, now);
    }

    /// Time from the end of a probe to the next one.
    fn pause(&mut self, chance: u32) -> Duration {
        let about_to_change = self.towards > 0 || self.alarmed;
        let regular = match self.state {
            _ if about_to_change => return self.jittered(self.rhythm.fast, chance),
            State::Down => self.rhythm.down,
            State::Up | State::Unknown => self.rhythm.interval,
        };
        if self.spread {
            return self.jittered(regular, chance);
        }
        // Watches that began together do not go on together.
        self.spread = true;
        regular.mul_f64(fraction(chance))
    }

    fn jittered(&self, interval: Duration, chance: u32) -> Duration {
        let part = f64::from(self.rhythm.jitter.min(100)) / 100.0;
        interval.mul_f64(1.0 + part * (2.0 * fraction(chance) - 1.0))
    }
}

fn fraction(chance: u32) -> f64 {
    f64::from(chance) / f64::from(u32::MAX)
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
