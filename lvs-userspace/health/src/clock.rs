//! The clock of health checks.

use tokio::time::Instant;

/// The current time, as the parts without I/O count it.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
