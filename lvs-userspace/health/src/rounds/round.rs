//! One connect check that is made in rounds. Pure.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::calendar::{Calendar, Moment};
use crate::check::Check;
use crate::outcome::Failure;
use crate::probe::connect::{self, AWAITED};
use crate::probe::socket::source_for;
use crate::probe::{Source, Syn};
use crate::runner::Report;
use crate::server::View;
use crate::watch::{Step, Watch};

/// How long a SYN is left without an answer before it is repeated, at first; then twice as long each time
/// (RFC 6298, section 2.1).
const PATIENCE: Duration = Duration::from_secs(1);

/// What each probe needs is in here: all rounds together are more than a cache holds.
#[derive(Debug)]
pub(super) struct Round {
    check: Arc<Check>,
    /// Who is asked.
    pub(super) to: SocketAddr,
    /// Where from.
    pub(super) source: Source,
    /// Longest time until there is a connection.
    limit: Duration,
    pub(super) watch: Watch,
    /// Its entry in the calendar; others are of the past.
    pub(super) moment: Option<Moment>,
    connection: Option<Connection>,
    pub(super) paused: bool,
    /// Signs of death came while a connection was under way.
    pub(super) nudged: bool,
    /// Each outcome is wanted, also one that says nothing new.
    pub(super) every: bool,
    /// Milliseconds of the last outcome, if that was a good one: its sentence.
    said: Option<u128>,
}

/// A connection under way.
#[derive(Clone, Copy, Debug)]
struct Connection {
    syn: Syn,
    begun: Instant,
    /// When it is repeated, and how long after the time before that is.
    again: (Instant, Duration),
}

/// Why no connection comes about.
pub(super) const fn failed(source: io::Error) -> Result<(), Failure> {
    Err(Failure::Io {
        awaited: AWAITED,
        source,
    })
}

impl Round {
    pub(super) fn new(check: Arc<Check>, watch: Watch) -> Self {
        Self {
            to: check.target,
            source: Source::new(source_for(&check, check.target)),
            limit: check.connect_timeout.min(check.timeout),
            check,
            watch,
            moment: None,
            connection: None,
            paused: false,
            nudged: false,
            every: false,
            said: None,
        }
    }

    /// What began the connection under way.
    pub(super) fn syn(&self) -> Option<&Syn> {
        self.connection.as_ref().map(|connection| &connection.syn)
    }

    /// That no answer came for as long as it was waited for.
    pub(super) const fn silence(&self) -> Result<(), Failure> {
        Err(Failure::Timeout {
            awaited: AWAITED,
            limit: self.limit,
        })
    }

    /// Enters into the calendar when something is to be done for it next.
    pub(super) fn enter(&mut self, number: u32, calendar: &mut Calendar) {
        let at = match &self.connection {
            Some(connection) => connection.again.0.min(connection.begun + self.limit),
            None => self.watch.due(),
        };
        self.moment = Some(calendar.enter(number, at));
    }

    /// It is not made for now, or anew: then nothing is known.
    pub(super) fn pause(&mut self, paused: bool, waiting: &mut HashMap<u32, u32>, now: Instant) {
        self.give_up(waiting);
        (self.paused, self.nudged, self.moment) = (paused, false, None);
        if !paused {
            self.watch.resume(now);
            self.said = None;
        }
    }

    /// A connection is under way.
    pub(super) fn begun(&mut self, syn: Syn, now: Instant) {
        self.connection = Some(Connection {
            syn,
            begun: now,
            again: (now + PATIENCE, PATIENCE),
        });
    }

    /// When the connection under way was begun, if its time is over.
    pub(super) fn overdue(&self, now: Instant) -> Option<Instant> {
        let connection = self.connection.as_ref()?;
        (now - connection.begun >= self.limit).then_some(connection.begun)
    }

    /// What is sent again, if it is time for that.
    pub(super) fn repeat(&mut self, now: Instant) -> Option<Syn> {
        let connection = self.connection.as_mut()?;
        let (moment, patience) = connection.again;
        if now < moment {
            return None;
        }
        connection.again = (now + 2 * patience, 2 * patience);
        Some(connection.syn)
    }

    /// Nothing that comes now is for it. When the connection was begun, if there was one.
    pub(super) fn give_up(&mut self, waiting: &mut HashMap<u32, u32>) -> Option<Instant> {
        let connection = self.connection.take()?;
        waiting.remove(&connection.syn.number);
        Some(connection.begun)
    }

    /// A connection came about, or will not. None: that says nothing new.
    pub(super) fn conclude(
        &mut self,
        number: u32,
        connected: Result<(), Failure>,
        took: Duration,
        now: Instant,
    ) -> Option<Report> {
        let chance = fastrand::u32(..);
        let said = connected.is_ok().then_some(took.as_millis());
        let same = std::mem::replace(&mut self.said, said) == said;
        let confirmed = self.watch.confirmed();
        let outcome = |connected| connect::outcome(&self.check, connected, took);
        let (step, outcome) = if connected.is_ok() {
            let step = self.watch.heard(true, now, chance);
            let steady = step == Step::Steady && self.watch.confirmed() == confirmed;
            let nothing_new = steady && same && !self.every;
            (step, (!nothing_new).then(|| outcome(connected)))
        } else {
            let outcome = outcome(connected);
            let step = if outcome.inconclusive {
                self.watch.skipped(now, chance)
            } else {
                self.watch.heard(false, now, chance)
            };
            (step, Some(outcome))
        };
        if std::mem::take(&mut self.nudged) {
            self.watch.nudge(now);
        }
        Some(Report {
            watch: number,
            view: View {
                state: self.watch.state(),
                confirmed: self.watch.confirmed(),
            },
            towards: self.watch.towards(),
            step,
            outcome: Arc::new(outcome?),
        })
    }
}
