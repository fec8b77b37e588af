//! Hangs: a server that always answered fast and answers nothing now is found out before the time of its check is over.
//!
//! The probe is made again over connections of its own, so that neither a lost packet nor one request that is stuck
//! decides, and the first answer of any counts. While no other server of the same check answers either, the reason may
//! be the director's own network, or all of them are slow together: then the check has its whole time.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::check::{Check, Kind};

/// Probes without an answer that a hang consists of; it counts as so many failures.
pub(crate) const LOOKS: u32 = 3;

/// Good answers before a server's pace is known.
const ENOUGH: u32 = 4;

/// A server hangs that answers nothing in so many times the time of its slowest answer.
const FACTOR: u32 = 4;

/// Part of the slowest answer's time by which it is forgotten with each answer.
const FORGETTING: u32 = 16;

/// How fast a server answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    answers: u32,
    slowest: Duration,
}

impl Pace {
    /// Records a good answer.
    pub(crate) fn record(&mut self, took: Duration) {
        self.answers = self.answers.saturating_add(1);
        let remembered = self.slowest.saturating_sub(self.slowest / FORGETTING);
        self.slowest = took.max(remembered);
    }

    /// Time without an answer that is a hang, not below `least`; `None` while the pace is not known.
    pub(crate) fn limit(&self, least: Duration) -> Option<Duration> {
        (self.answers >= ENOUGH).then(|| least.max(self.slowest * FACTOR))
    }
}

/// The watches whose checks differ by their server only, with the moment of their last good answer.
#[derive(Debug)]
pub(crate) struct Group(watch::Sender<Option<Instant>>);

impl Group {
    /// One of its servers gave a good answer.
    pub(crate) fn answered(&self, now: Instant) {
        // Nobody waits for the moment itself while all is well.
        self.0.send_replace(Some(now));
    }

    /// Returns once there was a good answer at this moment or later.
    pub(crate) async fn answered_since(&self, moment: Instant) {
        let later = |at: &Option<Instant>| at.is_some_and(|at| at >= moment);
        // The sender is borrowed, so it is not gone.
        let _ = self.0.subscribe().wait_for(later).await;
    }
}

/// All groups with a watch.
#[derive(Debug, Default)]
pub(crate) struct Groups(Mutex<HashMap<(Kind, u16), Weak<Group>>>);

impl Groups {
    /// The group of a check.
    pub(crate) fn of(&self, check: &Check) -> Arc<Group> {
        let mut groups = self.0.lock();
        let key = (check.kind.clone(), check.target.port());
        if let Some(group) = groups.get(&key).and_then(Weak::upgrade) {
            return group;
        }
        // Rare enough to look at all: a new group is a new kind of service.
        groups.retain(|_, group| group.strong_count() > 0);
        let group = Arc::new(Group(watch::Sender::new(None)));
        groups.insert(key, Arc::downgrade(&group));
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_hang_is_four_times_the_slowest_recent_answer() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            pace.record(MS);
            assert_eq!(pace.limit(100 * MS), None, "too few answers");
        }
        pace.record(MS);
        assert_eq!(pace.limit(100 * MS), Some(100 * MS));
        pace.record(80 * MS);
        assert_eq!(pace.limit(100 * MS), Some(320 * MS));
        pace.record(MS);
        let soon = pace.limit(100 * MS).unwrap();
        assert!(soon > 290 * MS && soon < 320 * MS, "{soon:?}");
        for _ in 0..100 {
            pace.record(MS);
        }
        assert_eq!(pace.limit(100 * MS), Some(100 * MS));
    }
}
