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

#[derive(Clone, Copy, Debug)]
struct Ask {
    at: Instant,
    known: bool,
    /// Asks in vain since it was last known.
    attempts: u32,
}

impl Asks {
    /// A neighbour is in use. One that is not known is asked for at once.
    pub(super) fn want(&mut self, key: NeighbourKey, known: bool, now: Instant) {
        if !self.wanted.contains_key(&key) {
            let at = if known { now + self.refresh(key) } else { now };
            self.put(
                key,
                Ask {
                    at,
                    known,
                    attempts: 0,
                },
            );
        }
    }

    /// A neighbour is no longer in use.
    pub(super) fn forget(&mut self, key: NeighbourKey) {
        if let Some(ask) = self.wanted.remove(&key) {
            self.due.remove(&(ask.at, key));
        }
    }

    /// The kernel said whether it knows a neighbour. One that it lost is asked for at once: it may
    /// have moved.
    pub(super) fn heard(&mut self, key: NeighbourKey, known: bool, now: Instant) {
        match self.wanted.get(&key) {
            Some(ask) if ask.known != known => {
                let at = if known { now + self.refresh(key) } else { now };
                self.put(
                    key,
                    Ask {
                        at,
                        known,
                        attempts: 0,
                    },
                );
            }
            _ => {}
        }
    }

    /// At most `most` neighbours that are to be asked for now; each is due again later.
    pub(super) fn take(&mut self, now: Instant, most: usize) -> Vec<NeighbourKey> {
        let taken = self.due.iter().take_while(|(at, _)| *at <= now).take(most);
        let taken: Vec<_> = taken.map(|&(_, key)| key).collect();
        for &key in &taken {
            let Some(&Ask {
                known, attempts, ..
            }) = self.wanted.get(&key)
            else {
                continue;
            };
            let pause = if known {
                self.refresh(key)
            } else {
                retry(attempts)
            };
            self.put(
                key,
                Ask {
                    at: now + pause,
                    known,
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

    fn put(&mut self, key: NeighbourKey, ask: Ask) {
        self.forget(key);
        self.due.insert((ask.at, key));
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
        asks.want(key(1), false, start);
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
        asks.want(key(1), true, start);
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
        asks.want(key(1), true, now);
        asks.heard(key(1), false, now);
        assert_eq!(asks.take(now, 8), [key(1)]);
        asks.heard(key(1), false, now);
        assert_eq!(asks.take(now, 8), []);
        asks.heard(key(1), true, now);
        assert!(asks.next().unwrap() >= now + REFRESH);
    }

    #[test]
    fn one_no_longer_in_use_is_left_alone() {
        let (mut asks, now) = (Asks::default(), Instant::now());
        asks.want(key(1), false, now);
        asks.want(key(2), false, now);
        asks.forget(key(1));
        asks.heard(key(1), false, now);
        assert_eq!(asks.take(now, 8), [key(2)]);
    }

    #[test]
    fn thousands_are_asked_for_in_portions() {
        let (mut asks, now) = (Asks::default(), Instant::now());
        (1..=100).for_each(|last| asks.want(key(last), false, now));
        let mut seen = BTreeSet::new();
        for _ in 0..10 {
            seen.extend(asks.take(now, 10));
        }
        assert_eq!(seen.len(), 100);
        assert_eq!(asks.take(now, 10), []);
    }
}
