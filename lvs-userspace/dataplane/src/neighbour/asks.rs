//! When to ask the kernel for which neighbour.
//!
//! The kernel does not see the packets that the program sends, so left alone it would let their
//! neighbours grow stale and collect them, and nobody would notice that one moved to another
//! Ethernet address. Asking counts as use: a known neighbour is confirmed in the kernel's own rhythm,
//! an unknown one is looked for.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use super::facts::NeighbourKey;

/// Time between two asks for a neighbour that is known, at least.
const REFRESH: Duration = Duration::from_secs(8);
/// And at most this much more, so that thousands do not come at the same moment.
const SPREAD: Duration = Duration::from_secs(4);
/// Time between the first two asks for one that does not answer; doubles up to [`RETRY_MOST`].
const RETRY: Duration = Duration::from_secs(1);
/// See [`RETRY`].
const RETRY_MOST: Duration = Duration::from_secs(10);

/// The neighbours in use, and when each is asked for next.
#[derive(Debug, Default)]
pub(super) struct Asks {
    due: BTreeSet<(Instant, NeighbourKey)>,
    wanted: HashMap<NeighbourKey, Ask>,
    seed: RandomState,
}

/// What a neighbour in use needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// To be looked for: it is not known.
    Find,
    /// To be confirmed now and then.
    Keep,
    /// Nothing. Linux takes an entry that somebody else keeps for an ordinary one once we ask.
    Leave,
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    care: Care,
    /// `None`: never.
    at: Option<Instant>,
    /// Asks since this care began.
    attempts: u32,
}

impl Asks {
    /// A neighbour is in use. One that is not known is asked for at once.
    pub(super) fn want(&mut self, key: NeighbourKey, care: Care, now: Instant) {
        if !self.wanted.contains_key(&key) {
            self.start(key, care, now);
        }
    }

    /// A neighbour is no longer in use.
    pub(super) fn forget(&mut self, key: NeighbourKey) {
        if let Some(at) = self.wanted.remove(&key).and_then(|ask| ask.at) {
            self.due.remove(&(at, key));
        }
    }

    /// The kernel said something of a neighbour. One that it lost is asked for at once: it may have
    /// moved.
    pub(super) fn heard(&mut self, key: NeighbourKey, care: Care, now: Instant) {
        if self.wanted.get(&key).is_some_and(|ask| ask.care != care) {
            self.start(key, care, now);
        }
    }

    /// At most `most` neighbours that are to be asked for now; each is due again later.
    pub(super) fn take(&mut self, now: Instant, most: usize) -> Vec<NeighbourKey> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        let taken: Vec<_> = due.take(most).map(|&(_, key)| key).collect();
        for &key in &taken {
            let Some(&Ask { care, attempts, .. }) = self.wanted.get(&key) else {
                continue;
            };
            let at = match care {
                Care::Find => Some(now + retry(attempts)),
                Care::Keep => Some(now + self.refresh(key)),
                Care::Leave => None,
            };
            self.put(
                key,
                Ask {
                    care,
                    at,
                    attempts: attempts.saturating_add(1),
                },
            );
        }
        taken
    }

    /// When the next ask is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    fn start(&mut self, key: NeighbourKey, care: Care, now: Instant) {
        let at = match care {
            Care::Find => Some(now),
            Care::Keep => Some(now + self.refresh(key)),
            Care::Leave => None,
        };
        self.put(
            key,
            Ask {
                care,
                at,
                attempts: 0,
            },
        );
    }

    fn put(&mut self, key: NeighbourKey, ask: Ask) {
        self.forget(key);
        self.due.extend(ask.at.map(|at| (at, key)));
        self.wanted.insert(key, ask);
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
    fn an_unknown_neighbour_is_asked_for_at_once_then_ever_less_often() {
        let (mut asks, start) = (Asks::default(), Instant::now());
        asks.want(key(1), Care::Find, start);
        let mut seconds = Vec::new();
        while let Some(at) = asks
            .next()
            .filter(|&at| at <= start + Duration::from_secs(40))
        {
            assert_eq!(asks.take(at, 8), [key(1)]);
            seconds.push((at - start).as_secs());
        }
        assert_eq!(seconds, [0, 1, 3, 7, 15, 25, 35]);
    }

    #[test]
    fn a_known_neighbour_is_refreshed_about_every_ten_seconds() {
        let (mut asks, start) = (Asks::default(), Instant::now());
        asks.want(key(1), Care::Keep, start);
        assert_eq!(asks.take(start, 8), []);
        for _ in 0..5 {
            let before = asks.next().unwrap();
            assert_eq!(asks.take(before, 8), [key(1)]);
            let pause = asks.next().unwrap() - before;
            assert!((REFRESH..REFRESH + SPREAD).contains(&pause), "{pause:?}");
        }
    }

    #[test]
    fn a_neighbour_that_is_lost_is_asked_for_at_once() {
        let (mut asks, now) = (Asks::default(), Instant::now());
        asks.want(key(1), Care::Keep, now);
        asks.heard(key(1), Care::Find, now);
        assert_eq!(asks.take(now, 8), [key(1)]);
        asks.heard(key(1), Care::Find, now);
        assert_eq!(asks.take(now, 8), []);
        asks.heard(key(1), Care::Keep, now);
        assert!(asks.next().unwrap() >= now + REFRESH);
    }

    #[test]
    fn one_no_longer_in_use_is_left_alone() {
        let (mut asks, now) = (Asks::default(), Instant::now());
        asks.want(key(1), Care::Find, now);
        asks.want(key(2), Care::Find, now);
        asks.forget(key(1));
        asks.heard(key(1), Care::Find, now);
        assert_eq!(asks.take(now, 8), [key(2)]);
    }

    #[test]
    fn thousands_are_asked_for_in_portions() {
        let (mut asks, now) = (Asks::default(), Instant::now());
        (1..=100).for_each(|last| asks.want(key(last), Care::Find, now));
        let mut seen = BTreeSet::new();
        for _ in 0..10 {
            seen.extend(asks.take(now, 10));
        }
        assert_eq!(seen.len(), 100);
        assert_eq!(asks.take(now, 10), []);
    }
}
