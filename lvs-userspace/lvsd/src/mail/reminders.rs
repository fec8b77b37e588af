//! Reminders of real servers that stay down (`emailalertfreq`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lvs_api::model::ServiceId;

/// A real server of a virtual service.
type Key = (ServiceId, SocketAddr);

/// Who is down, and when that is to be said again.
#[derive(Debug, Default)]
pub(super) struct Reminders {
    next: HashMap<Key, Instant>,
}

impl Reminders {
    /// A server is down; to be said again after this time, or never.
    pub(super) fn down(&mut self, key: Key, repeat: Duration, now: Instant) {
        if repeat.is_zero() {
            self.next.remove(&key);
        } else {
            self.next.insert(key, now + repeat);
        }
    }

    /// A server is down no longer.
    pub(super) fn over(&mut self, key: &Key) {
        self.next.remove(key);
    }

    /// Forgets the servers of services that are not to be reminded of.
    pub(super) fn retain(&mut self, keep: impl Fn(&ServiceId) -> bool) {
        self.next.retain(|(service, _), _| keep(service));
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next.values().min().copied()
    }

    /// The servers to remind of now.
    pub(super) fn take(&self, now: Instant) -> Vec<Key> {
        let due = self.next.iter().filter(|(_, next)| **next <= now);
        let mut keys: Vec<_> = due.map(|(key, _)| *key).collect();
        keys.sort();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lvs_api::model::Family;

    #[test]
    fn a_server_that_stays_down_is_due_again_and_again() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let service = ServiceId::Mark {
            mark: 1,
            family: Family::Ipv4,
        };
        let key = (service, SocketAddr::from(([10, 0, 0, 1], 80)));
        let other = (service, SocketAddr::from(([10, 0, 0, 2], 80)));
        let mut reminders = Reminders::default();
        assert_eq!(reminders.due(), None);
        reminders.down(key, 3 * second, start);
        reminders.down(other, Duration::ZERO, start);
        assert_eq!(reminders.due(), Some(start + 3 * second));
        assert!(reminders.take(start + 2 * second).is_empty());
        assert_eq!(reminders.take(start + 3 * second), [key]);
        reminders.down(key, 3 * second, start + 3 * second);
        assert!(reminders.take(start + 4 * second).is_empty());
        assert_eq!(reminders.take(start + 7 * second), [key]);
        reminders.over(&key);
        assert_eq!(reminders.due(), None);
    }
}
