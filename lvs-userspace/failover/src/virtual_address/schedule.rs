//! The schedule by which held addresses are announced. Without I/O, and with time as an argument.

use std::time::{Duration, Instant};

/// The number and the intervals of announcements of held addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcing {
    /// Announcements in a round; 0: none are sent.
    pub count: u32,
    /// Time from one to the next.
    pub interval: Duration,
    /// Time from one round to the next; zero: there is one round, when the addresses are added.
    pub repeat: Duration,
}

/// The times of announcements.
#[derive(Debug)]
pub(super) struct Schedule {
    announcing: Announcing,
    /// Announcements left in this round.
    left: u32,
    next: Option<Instant>,
}

impl Schedule {
    /// A schedule that begins now.
    pub(super) fn new(announcing: Announcing, now: Instant) -> Self {
        Self {
            announcing,
            left: announcing.count,
            next: (announcing.count > 0).then_some(now),
        }
    }

    /// The schedule from its beginning.
    pub(super) fn restart(&mut self, now: Instant) {
        *self = Self::new(self.announcing, now);
    }

    /// Time of the next announcement; `None`: there is none.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// True if an announcement is to be sent now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Schedules the next announcement, after one that was sent now.
    pub(super) fn advance(&mut self, now: Instant) {
        let Announcing {
            count,
            interval,
            repeat,
        } = self.announcing;
        self.left = self.left.saturating_sub(1);
        self.next = if self.left > 0 {
            Some(now + interval)
        } else if repeat.is_zero() || count == 0 {
            None
        } else {
            self.left = count;
            Some(now + repeat)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(count: u32, interval: u64, repeat: u64) -> Vec<u128> {
        let start = Instant::now();
        let announcing = Announcing {
            count,
            interval: Duration::from_millis(interval),
            repeat: Duration::from_millis(repeat),
        };
        let mut schedule = Schedule::new(announcing, start);
        let mut times = Vec::new();
        while let Some(next) = schedule.next() {
            assert!(schedule.is_due(next));
            times.push((next - start).as_millis());
            if times.len() == 7 {
                break;
            }
            schedule.advance(next);
        }
        times
    }

    #[test]
    fn addresses_are_announced_in_rounds() {
        assert_eq!(times(5, 200, 0), [0, 200, 400, 600, 800]);
        assert_eq!(times(2, 100, 1000), [0, 100, 1100, 1200, 2200, 2300, 3300]);
        assert_eq!(times(1, 100, 0), [0]);
        assert_eq!(times(0, 100, 1000), []);
    }
}
