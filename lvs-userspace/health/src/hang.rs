//! Hangs: a server that always answered fast and answers nothing now is found before the time of its check is over.
//!
//! A probe that is silent for longer than the server ever was of late raises a suspicion. Other servers of its virtual
//! services are asked then, and the server itself once more. Only after one of the others has answered at once does the
//! last look begin, with its whole time before it: what all of them share, a stall of the director or of its network
//! included, was over then. Pure: time is an argument.

use std::time::{Duration, Instant};

/// Looks without an answer that a hang consists of; it counts as so many failures.
pub(crate) const LOOKS: u32 = 3;

/// Good answers before a server's pace is known.
const ENOUGH: u32 = 4;

/// The first of them, which wait for neighbours and caches, and say nothing about the pace.
const FIRST: u32 = 2;

/// A server is suspected that answers nothing in so many times the time of its slowest answer. It hangs after twice that.
const FACTOR: u32 = 2;

/// Time for which a slow answer is remembered at least; at most twice as long.
const MEMORY: Duration = Duration::from_mins(10);

/// Times that the others are asked about one probe at most.
const ROUNDS: u32 = 3;

/// How fast a server answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    answers: u32,
    since: Option<Instant>,
    /// The slowest answer since then, and in the time of memory before.
    slowest: Duration,
    slowest_before: Duration,
}

impl Pace {
    /// Records a good answer.
    pub(crate) fn record(&mut self, took: Duration, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age >= MEMORY {
            let recent = age < 2 * MEMORY;
            self.slowest_before = if recent { self.slowest } else { Duration::ZERO };
            self.slowest = Duration::ZERO;
            self.since = Some(now);
        }
        self.answers = self.answers.saturating_add(1);
        if self.answers > FIRST {
            self.slowest = self.slowest.max(took);
        }
    }

    /// Time without an answer that makes the server suspect, not below `least`; `None` while the pace is not known.
    pub(crate) fn limit(&self, least: Duration) -> Option<Duration> {
        let slowest = self.slowest.max(self.slowest_before);
        (self.answers >= ENOUGH).then(|| least.max(slowest * FACTOR))
    }
}

/// What is to be done about a silent server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask others, and the server once more.
    AskOthers,
    /// Take the last look at the server.
    LastLook,
    /// Nothing: it hangs.
    Hung,
    /// Nothing: it has the whole time of its check.
    GiveUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    FirstLook,
    Others,
    LastLook,
    Over,
}

/// The case of one probe without an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspicion {
    limit: Duration,
    phase: Phase,
    due: Instant,
    rounds: u32,
}

impl Suspicion {
    /// A probe that begins now, of a server that is suspect after this time.
    pub(crate) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            limit,
            phase: Phase::FirstLook,
            due: now + limit,
            rounds: 0,
        }
    }

    /// When [`Self::expire`] is to be called; `None`: no more.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.phase != Phase::Over).then_some(self.due)
    }

    /// The present look or question has had its time.
    pub(crate) fn expire(&mut self, now: Instant) -> Step {
        // Where the director itself stood still, answers may not have been read yet.
        let late = now.saturating_duration_since(self.due) > self.limit / 4;
        if self.phase == Phase::LastLook && !late {
            self.phase = Phase::Over;
            return Step::Hung;
        }
        if self.phase == Phase::Over || self.rounds == ROUNDS {
            self.phase = Phase::Over;
            return Step::GiveUp;
        }
        self.rounds += 1;
        self.phase = Phase::Others;
        self.due = now + self.limit;
        Step::AskOthers
    }

    /// Another server, asked in this round (from 1 on), answered well after so long.
    pub(crate) fn other_answered(
        &mut self,
        round: u32,
        took: Duration,
        now: Instant,
    ) -> Option<Step> {
        let at_once = took <= self.limit / 2;
        if self.phase != Phase::Others || round != self.rounds || !at_once {
            return None;
        }
        self.phase = Phase::LastLook;
        self.due = now + self.limit;
        Some(Step::LastLook)
    }

    /// Number of the present round of questions.
    pub(crate) fn round(&self) -> u32 {
        self.rounds
    }

    /// The server refused a further look, or that could not be made: it may take one connection at a time. The first
    /// probe decides.
    pub(crate) fn refused(&mut self) {
        self.phase = Phase::Over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(200);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_server_hangs_that_is_silent_for_a_whole_look_after_others_answered() {
        let begun = Instant::now();
        let mut case = Suspicion::new(LIMIT, begun);
        assert_eq!(case.due(), Some(begun + LIMIT));
        assert_eq!(case.expire(begun + LIMIT), Step::AskOthers);
        let answered = begun + LIMIT + 5 * MS;
        let step = case.other_answered(1, 5 * MS, answered);
        assert_eq!(step, Some(Step::LastLook));
        assert_eq!(case.due(), Some(answered + LIMIT));
        assert_eq!(
            case.other_answered(1, 9 * MS, answered),
            None,
            "one is enough"
        );
        assert_eq!(case.expire(answered + LIMIT), Step::Hung);
        assert_eq!(case.due(), None);
    }

    #[test]
    fn nobody_hangs_while_no_other_server_answers_at_once() {
        let begun = Instant::now();
        let mut case = Suspicion::new(LIMIT, begun);
        let mut now = begun;
        for round in 1..=ROUNDS {
            now = case.due().unwrap();
            assert_eq!(case.expire(now), Step::AskOthers);
            // Slow like the server itself, or late.
            assert_eq!(case.other_answered(round, LIMIT / 2 + MS, now), None);
            assert_eq!(case.other_answered(round - 1, MS, now), None);
        }
        assert_eq!(case.expire(now + LIMIT), Step::GiveUp);
        assert_eq!(case.due(), None);
    }

    #[test]
    fn a_pause_of_the_director_decides_nothing() {
        let begun = Instant::now();
        let mut case = Suspicion::new(LIMIT, begun);
        let late = begun + 10 * LIMIT;
        assert_eq!(case.expire(late), Step::AskOthers);
        let _ = case.other_answered(1, MS, late);
        let later = late + 10 * LIMIT;
        assert_eq!(case.expire(later), Step::AskOthers);
        let _ = case.other_answered(2, MS, later);
        assert_eq!(case.expire(later + LIMIT + LIMIT / 8), Step::Hung);
    }

    #[test]
    fn a_server_that_refuses_a_further_look_has_its_whole_time() {
        let begun = Instant::now();
        let mut case = Suspicion::new(LIMIT, begun);
        case.expire(begun + LIMIT);
        case.refused();
        assert_eq!(case.due(), None);
        assert_eq!(case.other_answered(1, MS, begun + LIMIT), None);
        assert_eq!(case.expire(begun + 2 * LIMIT), Step::GiveUp);
    }

    #[test]
    fn a_slow_answer_is_remembered_for_minutes() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for took in [900 * MS, 900 * MS, MS] {
            pace.record(took, start);
        }
        assert_eq!(pace.limit(LIMIT), None, "not known yet");
        pace.record(600 * MS, start);
        assert_eq!(pace.limit(LIMIT), Some(1200 * MS));
        for (minutes, expected) in [(9, 1200), (11, 1200), (19, 1200), (22, 200)] {
            pace.record(MS, start + Duration::from_mins(minutes));
            assert_eq!(pace.limit(LIMIT), Some(expected * MS), "{minutes} minutes");
        }
        pace.record(200 * MS, start + Duration::from_mins(90));
        assert_eq!(pace.limit(LIMIT), Some(400 * MS));
    }
}
