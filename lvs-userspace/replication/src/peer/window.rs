//! The window: frames under way to the other side.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames under way at most: what a slow peer costs in memory, here and in the network.
const MOST: usize = 64;

/// Frames that were sent and not yet acknowledged.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The number of the first of `under_way`.
    acknowledged: u64,
    under_way: VecDeque<Instant>,
}

impl Window {
    /// True if another frame may be sent.
    pub(super) fn is_open(&self) -> bool {
        self.under_way.len() < MOST
    }

    /// A frame is sent.
    pub(super) fn sent(&mut self, now: Instant) {
        self.under_way.push_back(now);
    }

    /// The other side has applied the frame of this number, counted from 0, and all before. False: no such
    /// frame was sent.
    pub(super) fn acknowledged(&mut self, number: u64) -> bool {
        let behind = number.saturating_add(1).saturating_sub(self.acknowledged);
        let Ok(count) = usize::try_from(behind) else {
            return false;
        };
        if count > self.under_way.len() {
            return false;
        }
        self.under_way.drain(..count);
        self.acknowledged += behind;
        true
    }

    /// Frames that were not acknowledged yet, and the age of the oldest.
    pub(super) fn lag(&self, now: Instant) -> (u64, Duration) {
        let age = self
            .under_way
            .front()
            .map_or(Duration::ZERO, |sent| now.saturating_duration_since(*sent));
        (self.under_way.len() as u64, age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_is_under_way() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut window = Window::default();
        assert_eq!(window.lag(start), (0, Duration::ZERO));
        for number in 0..3 {
            window.sent(after(number * 10));
        }
        assert_eq!(window.lag(after(30)), (3, Duration::from_millis(30)));
        assert!(window.acknowledged(1));
        assert_eq!(window.lag(after(30)), (1, Duration::from_millis(10)));
        assert!(window.acknowledged(1), "said again");
        assert!(window.acknowledged(2));
        assert_eq!(window.lag(after(40)), (0, Duration::ZERO));
    }

    #[test]
    fn a_frame_that_was_not_sent_cannot_be_acknowledged() {
        let mut window = Window::default();
        assert!(!window.acknowledged(0));
        assert!(!window.acknowledged(u64::MAX));
        window.sent(Instant::now());
        assert!(!window.acknowledged(1));
        assert!(window.acknowledged(0));
    }

    #[test]
    fn a_slow_peer_is_not_sent_more_than_the_window() {
        let mut window = Window::default();
        for _ in 0..MOST {
            assert!(window.is_open());
            window.sent(Instant::now());
        }
        assert!(!window.is_open());
        window.acknowledged(0);
        assert!(window.is_open());
    }
}
