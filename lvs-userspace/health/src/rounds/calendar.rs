//! What is due when, in steps that many share: they are done together. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Milliseconds that a moment is met later at most.
const STEP: u64 = 5;

/// Numbers, each at a moment.
#[derive(Debug)]
pub(super) struct Calendar {
    begin: Instant,
    steps: BTreeMap<Moment, Vec<u32>>,
}

/// A moment of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

impl Calendar {
    /// Begins now.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            begin: now,
            steps: BTreeMap::new(),
        }
    }

    /// Enters a number, and tells its moment.
    pub(super) fn enter(&mut self, number: u32, at: Instant) -> Moment {
        let since = at.saturating_duration_since(self.begin).as_nanos();
        let step = since.div_ceil(nanos(STEP));
        let moment = Moment(u64::try_from(step).unwrap_or(u64::MAX));
        self.steps.entry(moment).or_default().push(number);
        moment
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        let (Moment(step), _) = self.steps.first_key_value()?;
        let since = Duration::from_millis(step.saturating_mul(STEP));
        self.begin.checked_add(since)
    }

    /// Takes out a number whose moment has come, and tells when that was.
    pub(super) fn take(&mut self, now: Instant) -> Option<(u32, Moment)> {
        let since = now.saturating_duration_since(self.begin).as_nanos();
        let mut first = self.steps.first_entry()?;
        let moment = *first.key();
        if u128::from(moment.0) * nanos(STEP) > since {
            return None;
        }
        let number = first.get_mut().pop();
        if first.get().is_empty() {
            first.remove();
        }
        Some((number?, moment))
    }
}

fn nanos(ms: u64) -> u128 {
    Duration::from_millis(ms).as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_taken_once_and_never_early() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut calendar = Calendar::new(begin);
        assert_eq!(calendar.next(), None);
        let [late, soon, same] =
            [(1, 12), (2, 6), (3, 10)].map(|(n, ms)| calendar.enter(n, at(ms)));
        assert!(soon == same && soon < late);
        assert_eq!(calendar.next(), Some(at(10)));
        assert_eq!(calendar.take(at(9)), None);
        let mut taken = [calendar.take(at(10)), calendar.take(at(10))].map(Option::unwrap);
        taken.sort();
        assert_eq!(taken, [(2, soon), (3, soon)]);
        assert_eq!(calendar.take(at(14)), None);
        assert_eq!(calendar.take(at(100)), Some((1, late)));
        assert_eq!((calendar.take(at(100)), calendar.next()), (None, None));
    }

    #[test]
    fn what_is_past_is_due_at_once() {
        let begin = Instant::now();
        let mut calendar = Calendar::new(begin + Duration::from_secs(1));
        calendar.enter(7, begin);
        assert!(calendar.take(begin + Duration::from_secs(1)).is_some());
    }
}
