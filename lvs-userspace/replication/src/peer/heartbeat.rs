//! The times by which a session is known to be alive.

use std::time::Duration;

/// Interval of frames when there is nothing to send.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(200);
/// Time without a frame after which the other side, or the network between, is dead.
pub(super) const SILENCE: Duration = Duration::from_secs(1);
