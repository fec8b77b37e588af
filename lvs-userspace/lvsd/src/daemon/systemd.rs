//! Notifications of systemd by sd_notify(3); without `NOTIFY_SOCKET` none are sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::control::Control;

/// Notifies that the tables are set and requests are answered.
pub(super) fn ready() {
    notify(NotifyState::Ready);
}

/// Notifies that the daemon is ending.
pub(super) fn stopping() {
    notify(NotifyState::Stopping);
}

/// Interval of notifications for its watchdog: half of `WatchdogSec`. None if there is no watchdog.
pub(super) fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// Notifies the watchdog. To be called like the daemon's other periodic work, off the runtime's threads: it
/// proves that the runtime goes on and that the tables are not locked for good.
pub(super) fn watchdog(control: &Control) {
    drop(control.director());
    notify(NotifyState::Watchdog);
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!("cannot notify systemd: {error}");
    }
}
