//! Reminders of real servers that stay down (`emailalertfreq`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lvs_api::model::ServiceId;

/// A real server of a virtual service.
type Key = (ServiceId, SocketAddr);

/// The servers that are down, each with the time of its next reminder.
#[derive(Debug, Default)]
pub(super) struct Reminders {
    next: HashMap<Key, Instant>,
}

impl Reminders {
    /// Notes that a server is down. A reminder is due after `repeat`; zero: never.
    pub(super) fn down(&mut self, key: Key, repeat: Duration, now: Instant) {
        if repeat.is_zero() {
            self.next.remove(&key);
        } else {
            self.next.insert(key, now + repeat);
        }
    }

    /// Notes that a server is up: no more reminders.
    pub(super) fn up(&mut self, key: &Key) {
        self.next.remove(key);
    }

    /// Removes the servers of services that `keep` refuses.
    pub(super) fn retain(&mut self, keep: impl Fn(&ServiceId) -> bool) {
        self.next.retain(|(service, _), _| keep(service));
    }

    /// Time of the next reminder.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.values().min().copied()
    }

    /// The servers whose reminder is due at `now`, in order.
    pub(super) fn due_at(&self, now: Instant) -> Vec<Key> {
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
        assert_eq!(reminders.next(), None);
        reminders.down(key, 3 * second, start);
        reminders.down(other, Duration::ZERO, start);
        assert_eq!(reminders.next(), Some(start + 3 * second));
        assert!(reminders.due_at(start + 2 * second).is_empty());
        assert_eq!(reminders.due_at(start + 3 * second), [key]);
        reminders.down(key, 3 * second, start + 3 * second);
        assert!(reminders.due_at(start + 4 * second).is_empty());
        assert_eq!(reminders.due_at(start + 7 * second), [key]);
        reminders.up(&key);
        assert_eq!(reminders.next(), None);
    }
}
