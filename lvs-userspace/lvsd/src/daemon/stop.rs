//! The end of the daemon's tasks.

use tokio::sync::watch;

/// Returns when the sender is gone: the daemon stops.
pub(super) async fn ended(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}
