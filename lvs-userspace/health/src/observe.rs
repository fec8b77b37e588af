//! Failures of clients' connections, as the data path sees them: when they are as good as a failed probe. Pure.

use std::time::Instant;

use crate::model::Observe;

/// Failures of one real server within the present window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FailureWindow {
    begun: Option<Instant>,
    count: u32,
}

impl FailureWindow {
    /// Counts failures. Returns their number if they are too many: the window is over, and the next begins with the
    /// next failure.
    pub(crate) fn add(&mut self, failures: u32, rules: &Observe, now: Instant) -> Option<u32> {
        let over = |begun| now.saturating_duration_since(begun) >= rules.fail_timeout;
        if self.begun.is_none_or(over) {
            *self = Self {
                begun: Some(now),
                count: 0,
            };
        }
        self.count = self.count.saturating_add(failures);
        let count = self.count;
        (count >= rules.max_fails).then(|| {
            *self = Self::default();
            count
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::OnError;

    const RULES: Observe = Observe {
        max_fails: 3,
        fail_timeout: Duration::from_secs(10),
        on_error: OnError::FailCheck,
    };

    #[test]
    fn failures_count_together_within_a_window_only() {
        let now = Instant::now();
        let mut window = FailureWindow::default();
        assert_eq!(window.add(2, &RULES, now), None);
        let later = now + RULES.fail_timeout;
        assert_eq!(window.add(2, &RULES, later), None, "another window");
        assert_eq!(window.add(2, &RULES, later), Some(4));
        assert_eq!(window.add(1, &RULES, later), None, "it is over");
    }
}
