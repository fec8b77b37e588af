//! The ways to clients of NAT: the program looks them up, and is told when to do so again.

use std::sync::Arc;
use std::time::Duration;

use lvs_dataplane::neighbour::{Changed, RouteChanges, advance_routes, confirm, solicit};
use lvs_dataplane::netlink::{Error, Requests};
use lvs_dataplane::{own_addresses, source_checks};
use tokio::sync::{Notify, watch};
use tokio::time::interval;
use tracing::error;

use super::stop::ended;
use crate::control::Control;

/// Interval at which the program's requests for neighbours are read.
const REQUESTS: Duration = Duration::from_millis(100);
/// Interval at which neighbours that replies go to are looked after: the kernel itself waits for five seconds before it
/// asks one.
const CONFIRM: Duration = Duration::from_secs(3);

/// Tells the program of every change after which a way may be another one, and whoever waits for `routes_changed`.
pub(super) async fn follow(
    mut changes: RouteChanges,
    routes_changed: Arc<Notify>,
    control: Arc<Control>,
    stopped: watch::Receiver<()>,
) {
    let mut end = std::pin::pin!(ended(stopped));
    loop {
        let changed = tokio::select! {
            () = &mut end => return,
            changed = changes.next() => changed,
        };
        routes_changed.notify_one();
        let settings = match changed {
            Ok(Changed { settings }) => settings,
            Err(error) => {
                return error!("changes of routes to clients are no longer followed: {error}");
            }
        };
        let maps = control.maps();
        if settings {
            source_checks::follow(maps);
        }
        advance_routes(maps);
        own_addresses::follow(maps);
    }
}

/// Has the kernel find the neighbours that the program asks for.
pub(super) async fn find_neighbours(
    mut requests: Requests,
    control: Arc<Control>,
    stopped: watch::Receiver<()>,
) {
    let mut end = std::pin::pin!(ended(stopped));
    let mut timer = interval(REQUESTS);
    loop {
        tokio::select! {
            () = &mut end => return,
            _ = timer.tick() => {}
        }
        let wanted = control.maps().neighbour_requests.drain();
        match solicit(&mut requests, &wanted).await {
            Ok(()) => {}
            Err(Error::Closed) => {
                return error!("neighbours of clients are no longer asked for");
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

/// Has the kernel confirm the neighbours that replies go to.
pub(super) async fn confirm_neighbours(
    mut requests: Requests,
    control: Arc<Control>,
    stopped: watch::Receiver<()>,
) {
    let mut end = std::pin::pin!(ended(stopped));
    let mut timer = interval(CONFIRM);
    loop {
        tokio::select! {
            () = &mut end => return,
            _ = timer.tick() => {}
        }
        let used = control.client_macs();
        if used.is_empty() {
            continue;
        }
        match confirm(&mut requests, &used).await {
            Ok(()) => {}
            Err(Error::Closed) => {
                return error!("neighbours that replies go to are no longer confirmed");
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }
}
