//! Equal-cost routes: with `rp_filter` 1 the program has to know the interfaces of all their next hops.

use std::sync::Arc;
use std::time::Duration;

use lvs_dataplane::equal_cost;
use lvs_dataplane::netlink::{Error, Requests};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::stop::ended;
use crate::control::Control;

/// Least time between two looks at the routes.
const PAUSE: Duration = Duration::from_secs(1);
/// A large table is read for one part in so many of the time.
const SHARE: u32 = 50;

/// Keeps the program's knowledge up to date.
pub(super) async fn follow(
    requests: Requests,
    routes_changed: Arc<Notify>,
    control: Arc<Control>,
    stopped: watch::Receiver<()>,
) {
    tokio::select! {
        () = ended(stopped) => {}
        () = publish(requests, &routes_changed, &control) => {}
    }
}

async fn publish(mut requests: Requests, routes_changed: &Notify, control: &Control) {
    loop {
        routes_changed.notified().await;
        while !equal_cost::matters(control.maps()) {
            sleep(PAUSE).await;
        }
        let begin = Instant::now();
        match equal_cost::publish(&mut requests, control.maps()).await {
            Ok(()) => {}
            Err(Error::Closed) => return error!("equal-cost routes are no longer followed"),
            Err(error) => {
                warn!("equal-cost routes, for rp_filter 1: {error}; they are read again");
                routes_changed.notify_one();
            }
        }
        sleep(PAUSE.max(begin.elapsed() * SHARE)).await;
    }
}
