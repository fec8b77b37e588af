//! Times of sessions and of bulk syncs, as status shows them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lvs_api::peers::BulkSync;

/// Seconds since 1970.
pub(super) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A bulk sync of so many connections that is complete now.
pub(super) fn bulk_sync(connections: u64, begun: Option<Instant>) -> BulkSync {
    BulkSync {
        at: unix_time(),
        connections,
        took_ms: begun.map_or(0, |begun| milliseconds(begun.elapsed())),
    }
}
