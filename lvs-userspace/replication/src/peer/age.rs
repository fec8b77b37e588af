//! Ages of sessions and of bulk syncs, by a clock that nobody sets, and their dates, for people.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lvs_api::peers::BulkSync;

/// A moment as status shows it: its age and its date, in seconds, both as of now. The date follows from the age,
/// whatever the wall clock was at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) age: u64,
    /// Since 1970.
    pub(super) date: u64,
}

impl Shown {
    /// A moment of this process.
    pub(super) fn of(moment: Instant) -> Self {
        let age = moment.elapsed().as_secs();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let date = now.map_or(0, |now| now.as_secs()).saturating_sub(age);
        Self { age, date }
    }
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A complete bulk sync.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bulk {
    pub(super) end: Instant,
    /// Connections and templates.
    pub(super) connections: u64,
    /// Milliseconds that it took.
    pub(super) took_ms: u64,
}

impl Bulk {
    /// Of so many connections, complete now.
    pub(super) fn complete(connections: u64, begun: Instant) -> Self {
        let end = Instant::now();
        Self {
            end,
            connections,
            took_ms: milliseconds(end.duration_since(begun)),
        }
    }

    /// As status shows it.
    pub(super) fn shown(self) -> BulkSync {
        let Shown { age, date } = Shown::of(self.end);
        BulkSync {
            at: date,
            age,
            connections: self.connections,
            took_ms: self.took_ms,
        }
    }
}
