//! Hangs: a server that always answered fast and answers nothing now is found before the time of its check is over.
//!
//! A probe that is silent for longer than the server ever was of late raises a suspicion. Other servers of its virtual
//! services are asked then, and the server itself once more. Only after most of the others have answered at once does
//! the last look begin, with its whole time before it: what all of them share, a stall of the director or of its
//! network included, was over then. Pure: time is an argument.

use std::time::{Duration, Instant};

/// Failures that a hang counts as.
pub(crate) const FAILURES: u32 = 3;

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

/// The time since the first probe that found a server hung.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pause(Option<Instant>);

impl Pause {
    /// A probe that began then found the server hung.
    pub(crate) fn hung(&mut self, begun: Instant) {
        self.0.get_or_insert(begun);
    }

    /// A probe ended otherwise. If it failed, it was more than a pause.
    pub(crate) fn probed(&mut self, good: bool) {
        self.0 = self.0.filter(|_| good);
    }

    /// The server answers. Returns the time of a pause that its check would have borne. When it ended is not known, as
    /// the next probe is not made at once: it took the whole time of the check at most.
    pub(crate) fn end(&mut self, whole: Duration, now: Instant) -> Option<Duration> {
        let since = self.0.take()?;
        Some(now.saturating_duration_since(since).min(whole))
    }
}

/// The next step about a silent server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask others, and the server once more.
    AskOthers,
    /// Take a last look at the server: one with its whole time, and one halfway through that.
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
    SecondHalf,
    Over,
}

/// The case of one probe without an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspicion {
    limit: Duration,
    phase: Phase,
    due: Instant,
    rounds: u32,
    /// Others that were asked in this round, those without an answer yet, and those that answered well at once.
    asked: usize,
    silent: usize,
    at_once: usize,
}

impl Suspicion {
    /// A probe that begins now, of a server that is suspect after this time.
    pub(crate) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            limit,
            phase: Phase::FirstLook,
            due: now + limit,
            rounds: 0,
            asked: 0,
            silent: 0,
            at_once: 0,
        }
    }

    /// When [`Self::expire`] is to be called; `None`: no more.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.is_over()).then_some(self.due)
    }

    /// Returns whether the case is decided, or given up.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The present look or question has had its time.
    pub(crate) fn expire(&mut self, now: Instant) -> Step {
        // Where the director itself stood still, answers may not have been read yet.
        let late = now.saturating_duration_since(self.due) > self.limit / 4;
        match self.phase {
            // A lost SYN is repeated after a second only: a server that is reached again would not be seen.
            Phase::LastLook if !late => {
                self.phase = Phase::SecondHalf;
                self.due = now + self.limit / 2;
                return Step::LastLook;
            }
            // Another one that says nothing at all may have the same cause.
            Phase::SecondHalf if !late && self.silent == 0 => {
                self.phase = Phase::Over;
                return Step::Hung;
            }
            _ => {}
        }
        if self.is_over() || self.rounds == ROUNDS {
            self.phase = Phase::Over;
            return Step::GiveUp;
        }
        self.rounds += 1;
        self.phase = Phase::Others;
        self.due = now + self.limit;
        Step::AskOthers
    }

    /// So many others are asked in this round.
    pub(crate) fn ask(&mut self, others: usize) {
        (self.asked, self.silent, self.at_once) = (others, others, 0);
        if others == 0 {
            self.give_up();
        }
    }

    /// One of them answered after so long, well or not.
    pub(crate) fn other_answered(
        &mut self,
        good: bool,
        took: Duration,
        now: Instant,
    ) -> Option<Step> {
        self.silent = self.silent.saturating_sub(1);
        if good && took <= self.limit / 2 {
            self.at_once += 1;
        }
        if self.phase != Phase::Others || self.at_once * 2 <= self.asked {
            return None;
        }
        self.phase = Phase::LastLook;
        self.due = now + self.limit / 2;
        Some(Step::LastLook)
    }

    /// The first probe decides: the server refused a further look, so that it may take one connection at a time, or one
    /// could not be made, or there is nobody to compare it with.
    pub(crate) fn give_up(&mut self) {
        self.phase = Phase::Over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(200);
    const MS: Duration = Duration::from_millis(1);

    /// A case whose first look is over, and so many others are asked.
    fn asking(others: usize, begun: Instant) -> Suspicion {
        let mut case = Suspicion::new(LIMIT, begun);
        assert_eq!(case.due(), Some(begun + LIMIT));
        assert_eq!(case.expire(begun + LIMIT), Step::AskOthers);
        case.ask(others);
        case
    }

    #[test]
    fn a_server_hangs_that_is_silent_for_a_whole_look_after_others_answered() {
        let begun = Instant::now();
        let mut case = asking(1, begun);
        let answered = begun + LIMIT + 5 * MS;
        let step = case.other_answered(true, 5 * MS, answered);
        assert_eq!(step, Some(Step::LastLook));
        let half = answered + LIMIT / 2;
        assert_eq!(case.due(), Some(half));
        assert_eq!(case.expire(half), Step::LastLook, "once more, halfway");
        assert_eq!(case.due(), Some(answered + LIMIT));
        assert_eq!(case.expire(answered + LIMIT), Step::Hung);
        assert_eq!(case.due(), None);
    }

    #[test]
    fn most_of_those_asked_have_to_answer_at_once() {
        let begun = Instant::now();
        for (asked, enough) in [(1, 1), (2, 2), (3, 2)] {
            let mut case = asking(asked, begun);
            let now = case.due().unwrap();
            assert_eq!(case.other_answered(false, MS, now), None, "not well");
            for answers in 1..=asked {
                let step = case.other_answered(true, MS, now);
                let expected = (answers == enough).then_some(Step::LastLook);
                assert_eq!(step, expected, "{answers} of {asked}");
            }
        }
    }

    #[test]
    fn nobody_hangs_while_one_of_those_asked_is_silent_too() {
        let begun = Instant::now();
        let mut case = asking(3, begun);
        for round in 1..=ROUNDS {
            let now = case.due().unwrap();
            let _ = case.other_answered(true, MS, now);
            assert!(case.other_answered(true, MS, now).is_some());
            assert_eq!(case.expire(case.due().unwrap()), Step::LastLook);
            let last = round == ROUNDS;
            let expected = if last { Step::GiveUp } else { Step::AskOthers };
            assert_eq!(case.expire(case.due().unwrap()), expected);
            case.ask(3);
        }
    }

    #[test]
    fn nobody_hangs_while_no_other_server_answers_at_once() {
        let begun = Instant::now();
        let mut case = asking(1, begun);
        for round in 1..=ROUNDS {
            let now = case.due().unwrap();
            // Slow like the server itself.
            assert_eq!(case.other_answered(true, LIMIT / 2 + MS, now), None);
            let last = round == ROUNDS;
            let expected = if last { Step::GiveUp } else { Step::AskOthers };
            assert_eq!(case.expire(now), expected);
            case.ask(1);
        }
        assert_eq!(case.due(), None);
    }

    #[test]
    fn a_pause_of_the_director_decides_nothing() {
        let begun = Instant::now();
        let mut case = Suspicion::new(LIMIT, begun);
        let mut now = begun + 10 * LIMIT;
        assert_eq!(case.expire(now), Step::AskOthers);
        case.ask(1);
        let _ = case.other_answered(true, MS, now);
        now += 10 * LIMIT;
        assert_eq!(case.expire(now), Step::AskOthers);
        case.ask(1);
        let _ = case.other_answered(true, MS, now);
        now += LIMIT / 2 + LIMIT / 8;
        assert_eq!(case.expire(now), Step::LastLook);
        now += 10 * LIMIT;
        assert_eq!(case.expire(now), Step::AskOthers);
        case.ask(1);
        let _ = case.other_answered(true, MS, now);
        for step in [Step::LastLook, Step::Hung] {
            now += LIMIT / 2 + LIMIT / 8;
            assert_eq!(case.expire(now), step);
        }
    }

    #[test]
    fn a_case_that_is_given_up_or_has_nobody_to_ask_leaves_the_whole_time() {
        let begun = Instant::now();
        let mut refused = asking(1, begun);
        refused.give_up();
        for mut case in [refused, asking(0, begun)] {
            assert_eq!(case.due(), None);
            assert_eq!(case.other_answered(true, MS, begun + LIMIT), None);
            assert_eq!(case.expire(begun + 2 * LIMIT), Step::GiveUp);
        }
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

    #[test]
    fn a_pause_lasts_from_the_first_hang_to_the_next_good_answer() {
        let begun = Instant::now();
        let whole = 2000 * MS;
        let mut pause = Pause::default();
        assert_eq!(pause.end(whole, begun), None);
        pause.hung(begun);
        pause.hung(begun + 600 * MS);
        assert_eq!(pause.end(whole, begun + 900 * MS), Some(900 * MS));
        assert_eq!(pause.end(whole, begun + 999 * MS), None, "once");
        pause.hung(begun);
        assert_eq!(pause.end(whole, begun + 5000 * MS), Some(whole));
        pause.hung(begun);
        pause.probed(true);
        pause.probed(false);
        assert_eq!(pause.end(whole, begun + 900 * MS), None);
    }
}
