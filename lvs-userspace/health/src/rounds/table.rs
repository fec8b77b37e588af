//! The connect checks that are made in rounds: whose turn it is, and what the answers amount to. Pure.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::calendar::Calendar;
use super::round::{Round, failed};
use crate::check::Check;
use crate::probe::{Heard, Ports, Source, Syn};
use crate::runner::Report;
use crate::watch::Watch;

/// All checks, by the numbers of their watches.
#[derive(Debug)]
pub(super) struct Table {
    rounds: HashMap<u32, Round>,
    /// Whose SYN has this sequence number.
    waiting: HashMap<u32, u32>,
    calendar: Calendar,
}

/// What is to be done for a check now.
#[derive(Debug)]
pub(super) enum Due {
    /// Send this.
    Send(Syn),
    /// Tell this.
    Tell(Report),
}

impl Table {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rounds: HashMap::new(),
            waiting: HashMap::new(),
            calendar: Calendar::new(now),
        }
    }

    /// Takes up a check.
    pub(super) fn begin(&mut self, number: u32, check: Arc<Check>, watch: Watch) {
        let mut round = Round::new(check, watch);
        round.enter(number, &mut self.calendar);
        self.rounds.insert(number, round);
    }

    /// It is made no more.
    pub(super) fn end(&mut self, number: u32) {
        if let Some(mut round) = self.rounds.remove(&number) {
            round.give_up(&mut self.waiting);
        }
    }

    /// Signs of death: it is made at once.
    pub(super) fn nudge(&mut self, number: u32, now: Instant) {
        let Some(round) = self.rounds.get_mut(&number).filter(|round| !round.paused) else {
            return;
        };
        // What is under way was begun before the sign.
        round.nudged = round.syn().is_some();
        if !round.nudged {
            round.watch.nudge(now);
            round.enter(number, &mut self.calendar);
        }
    }

    /// It is not made for now, or anew.
    pub(super) fn pause(&mut self, number: u32, paused: bool, now: Instant) {
        let Some(round) = self.rounds.get_mut(&number).filter(|r| r.paused != paused) else {
            return;
        };
        round.pause(paused, &mut self.waiting, now);
        if !paused {
            round.enter(number, &mut self.calendar);
        }
    }

    /// Whether each of its outcomes is wanted, or what says something new is enough.
    pub(super) fn tell_every(&mut self, number: u32, every: bool) {
        if let Some(round) = self.rounds.get_mut(&number) {
            round.every = every;
        }
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.calendar.next()
    }

    /// Something that is due; `syn` makes what begins a connection.
    pub(super) fn due(
        &mut self,
        now: Instant,
        mut syn: impl FnMut(SocketAddr, &mut Source) -> io::Result<Syn>,
    ) -> Option<Due> {
        while let Some((number, moment)) = self.calendar.take(now) {
            let round = self.rounds.get_mut(&number);
            let Some(round) = round.filter(|round| round.moment == Some(moment)) else {
                continue;
            };
            let due = if round.syn().is_none() {
                match syn(round.to, &mut round.source) {
                    Ok(syn) => {
                        round.begun(syn, now);
                        // Another one with the same number, of four billion, remains without an answer.
                        self.waiting.insert(syn.number, number);
                        Some(Due::Send(syn))
                    }
                    Err(error) => {
                        let report = round.conclude(number, failed(error), Duration::ZERO, now);
                        report.map(Due::Tell)
                    }
                }
            } else if let Some(began) = round.overdue(now) {
                round.give_up(&mut self.waiting);
                let report = round.conclude(number, round.silence(), now - began, now);
                report.map(Due::Tell)
            } else {
                round.repeat(now).map(Due::Send)
            };
            round.enter(number, &mut self.calendar);
            if due.is_some() {
                return due;
            }
        }
        None
    }

    /// Something was said of a connection.
    pub(super) fn heard(&mut self, heard: Heard, now: Instant) -> Option<Report> {
        let &number = self.waiting.get(&heard.number)?;
        let Syn { port, to, .. } = *self.rounds.get(&number)?.syn()?;
        let ports = Ports {
            from: port,
            to: to.port(),
        };
        if (to.ip(), ports) != (heard.server, heard.ports) {
            return None;
        }
        self.answered(number, heard.answer, now)
    }

    /// It could not be sent.
    pub(super) fn unsent(&mut self, syn: &Syn, error: io::Error, now: Instant) -> Option<Report> {
        let &number = self.waiting.get(&syn.number)?;
        self.answered(number, Err(error), now)
    }

    fn answered(&mut self, number: u32, answer: io::Result<()>, now: Instant) -> Option<Report> {
        let round = self.rounds.get_mut(&number)?;
        let took = now - round.give_up(&mut self.waiting)?;
        let report = round.conclude(number, answer.or_else(failed), took, now);
        round.enter(number, &mut self.calendar);
        report
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
