//! The schedule by which neighbours in use are refreshed.
//!
//! The kernel does not see the packets that the program sends, so left alone it would let their
//! neighbours grow stale and collect them, and nobody would notice that one moved to another
//! Ethernet address. A request counts as use: a known neighbour is confirmed in the kernel's own rhythm,
//! an unknown one is solicited.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use super::tables::{Neighbour, NeighbourKey};

/// Time between two requests for a neighbour that is known, at least.
const REFRESH: Duration = Duration::from_secs(8);
/// Spread of that time, so that thousands of requests do not come at the same moment.
const SPREAD: Duration = Duration::from_secs(4);
/// Time between the first two requests for one that does not answer; it doubles up to [`RETRY_MOST`].
const RETRY: Duration = Duration::from_secs(1);
/// Time between two requests for one that does not answer, at most.
const RETRY_MOST: Duration = Duration::from_secs(10);

/// The neighbours in use, and when each is requested next.
#[derive(Debug, Default)]
pub(super) struct RefreshSchedule {
    due: BTreeSet<(Instant, NeighbourKey)>,
    entries: HashMap<NeighbourKey, Entry>,
    seed: RandomState,
}

/// The need of a neighbour in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefreshPolicy {
    /// To be solicited: it is not known.
    Resolve,
    /// To be confirmed now and then.
    Confirm,
    /// Nothing. Linux takes an entry that somebody else keeps for an ordinary one once it is requested.
    Never,
}

impl RefreshPolicy {
    /// The policy for a neighbour in this state; `None`: the kernel does not know it.
    pub(super) fn of(neighbour: Option<&Neighbour>) -> Self {
        match neighbour {
            Some(Neighbour::Known(_)) => Self::Confirm,
            Some(Neighbour::Fixed(_)) => Self::Never,
            Some(Neighbour::Incomplete | Neighbour::Failed | Neighbour::Refused(_)) | None => {
                Self::Resolve
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    policy: RefreshPolicy,
    /// Time of the next request; `None`: never.
    at: Option<Instant>,
    /// Requests under this policy.
    attempts: u32,
}

impl RefreshSchedule {
    /// Adds a neighbour. One that is not known is due at once.
    pub(super) fn insert(&mut self, key: NeighbourKey, policy: RefreshPolicy, now: Instant) {
        if !self.entries.contains_key(&key) {
            self.start(key, policy, now);
        }
    }

    /// Removes a neighbour that is no longer in use.
    pub(super) fn remove(&mut self, key: NeighbourKey) {
        if let Some(at) = self.entries.remove(&key).and_then(|entry| entry.at) {
            self.due.remove(&(at, key));
        }
    }

    /// Updates a neighbour whose state may be another. One that the kernel lost is due at once: it may
    /// have moved.
    pub(super) fn update(&mut self, key: NeighbourKey, policy: RefreshPolicy, now: Instant) {
        let known = self.entries.get(&key);
        if known.is_some_and(|entry| entry.policy != policy) {
            self.start(key, policy, now);
        }
    }

    /// Returns at most `most` neighbours that are due, and schedules the next request of each.
    pub(super) fn pop_due(&mut self, now: Instant, most: usize) -> Vec<NeighbourKey> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        let keys: Vec<_> = due.take(most).map(|&(_, key)| key).collect();
        for &key in &keys {
            let Some(&Entry {
                policy, attempts, ..
            }) = self.entries.get(&key)
            else {
                continue;
            };
            let resolve = now + retry(attempts);
            self.schedule(key, policy, attempts.saturating_add(1), resolve, now);
        }
        keys
    }

    /// Time when the next neighbour is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    fn start(&mut self, key: NeighbourKey, policy: RefreshPolicy, now: Instant) {
        self.schedule(key, policy, 0, now, now);
    }

    /// Sets when a neighbour is due: one without an address at `resolve`.
    fn schedule(
        &mut self,
        key: NeighbourKey,
        policy: RefreshPolicy,
        attempts: u32,
        resolve: Instant,
        now: Instant,
    ) {
        let at = match policy {
            RefreshPolicy::Resolve => Some(resolve),
            RefreshPolicy::Confirm => Some(now + self.refresh(key)),
            RefreshPolicy::Never => None,
        };
        self.put(
            key,
            Entry {
                policy,
                at,
                attempts,
            },
        );
    }

    fn put(&mut self, key: NeighbourKey, entry: Entry) {
        self.remove(key);
        self.due.extend(entry.at.map(|at| (at, key)));
        self.entries.insert(key, entry);
    }

    fn refresh(&self, key: NeighbourKey) -> Duration {
        let share = u32::from(self.seed.hash_one(key).to_ne_bytes()[0]);
        REFRESH + SPREAD * share / 256
    }
}

fn retry(attempts: u32) -> Duration {
    RETRY.saturating_mul(1 << attempts.min(8)).min(RETRY_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8) -> NeighbourKey {
        NeighbourKey {
            interface: 1,
            address: [10, 0, 0, last].into(),
        }
    }

    #[test]
    fn an_unknown_neighbour_is_due_at_once_then_ever_less_often() {
        let (mut schedule, start) = (RefreshSchedule::default(), Instant::now());
        schedule.insert(key(1), RefreshPolicy::Resolve, start);
        let mut seconds = Vec::new();
        while let Some(at) = schedule
            .next_due()
            .filter(|&at| at <= start + Duration::from_secs(40))
        {
            assert_eq!(schedule.pop_due(at, 8), [key(1)]);
            seconds.push((at - start).as_secs());
        }
        assert_eq!(seconds, [0, 1, 3, 7, 15, 25, 35]);
    }

    #[test]
    fn a_known_neighbour_is_refreshed_about_every_ten_seconds() {
        let (mut schedule, start) = (RefreshSchedule::default(), Instant::now());
        schedule.insert(key(1), RefreshPolicy::Confirm, start);
        assert_eq!(schedule.pop_due(start, 8), []);
        for _ in 0..5 {
            let before = schedule.next_due().unwrap();
            assert_eq!(schedule.pop_due(before, 8), [key(1)]);
            let pause = schedule.next_due().unwrap() - before;
            assert!((REFRESH..REFRESH + SPREAD).contains(&pause), "{pause:?}");
        }
    }

    #[test]
    fn a_neighbour_that_is_lost_is_due_at_once() {
        let (mut schedule, now) = (RefreshSchedule::default(), Instant::now());
        schedule.insert(key(1), RefreshPolicy::Confirm, now);
        schedule.update(key(1), RefreshPolicy::Resolve, now);
        assert_eq!(schedule.pop_due(now, 8), [key(1)]);
        schedule.update(key(1), RefreshPolicy::Resolve, now);
        assert_eq!(schedule.pop_due(now, 8), []);
        schedule.update(key(1), RefreshPolicy::Confirm, now);
        assert!(schedule.next_due().unwrap() >= now + REFRESH);
    }

    #[test]
    fn one_no_longer_in_use_is_never_due() {
        let (mut schedule, now) = (RefreshSchedule::default(), Instant::now());
        schedule.insert(key(1), RefreshPolicy::Resolve, now);
        schedule.insert(key(2), RefreshPolicy::Resolve, now);
        schedule.remove(key(1));
        schedule.update(key(1), RefreshPolicy::Resolve, now);
        assert_eq!(schedule.pop_due(now, 8), [key(2)]);
    }

    #[test]
    fn thousands_are_due_in_portions() {
        let (mut schedule, now) = (RefreshSchedule::default(), Instant::now());
        (1..=100).for_each(|last| schedule.insert(key(last), RefreshPolicy::Resolve, now));
        let mut seen = BTreeSet::new();
        for _ in 0..10 {
            seen.extend(schedule.pop_due(now, 10));
        }
        assert_eq!(seen.len(), 100);
        assert_eq!(schedule.pop_due(now, 10), []);
    }
}
