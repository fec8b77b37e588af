//! What systemd is told, by sd_notify(3); where there is no `NOTIFY_SOCKET`, nobody is told anything.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::control::server::Control;

/// The tables are set and requests are answered.
pub(super) fn ready() {
    notify(NotifyState::Ready);
}

/// From now on everything is being withdrawn.
pub(super) fn stopping() {
    notify(NotifyState::Stopping);
}

/// How often it wants to hear that the daemon lives: twice in the time after which it would kill it
/// (`WatchdogSec`). None if it does not.
pub(super) fn period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// The daemon lives. To be called as the daemon's work is done, off the runtime's threads: whoever
/// hears it knows that the runtime goes on and that nobody keeps the tables locked.
pub(super) fn alive(control: &Control) {
    drop(control.director());
    notify(NotifyState::Watchdog);
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!("cannot tell systemd: {error}");
    }
}
