//! The ways to clients of NAT: the program looks them up, and is told when to do so again.

use std::sync::Arc;
use std::time::Duration;

use lvs_dataplane::neighbour::{RouteChanges, advance_routes, solicit};
use lvs_dataplane::netlink::{Error, Requests};
use lvs_dataplane::own_addresses;
use tokio::sync::watch;
use tokio::time::interval;
use tracing::error;

use super::stop::ended;
use crate::control::Control;

/// Interval at which the program's requests for neighbours are read.
const REQUESTS: Duration = Duration::from_millis(100);

/// Tells the program of every change after which a way may be another one.
pub(super) async fn follow(
    mut changes: RouteChanges,
    control: Arc<Control>,
    stopped: watch::Receiver<()>,
) {
    let mut end = std::pin::pin!(ended(stopped));
    loop {
        tokio::select! {
            () = &mut end => return,
            changed = changes.next() => if let Err(error) = changed {
                return error!("changes of routes to clients are no longer followed: {error}");
            },
        }
        let maps = control.maps();
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
