//! Follows the devices of the network namespace: where the programs run, and by what they send.

use std::sync::Arc;
use std::time::Duration;

use lvs_dataplane::device::{Changes, Netdev};
use lvs_dataplane::neighbour::Links;
use lvs_dataplane::{own_addresses, source_checks};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{error, warn};

use super::interfaces::Interfaces;
use super::stop::ended;
use crate::control::Control;

/// Interval at which lost frames are looked for, and changes that nobody announced.
const PERIOD: Duration = Duration::from_secs(1);
/// Time that several announcements have to arrive before anything is concluded from them.
const DEBOUNCE: Duration = Duration::from_millis(10);

/// Decides anew where the programs run whenever the interfaces change, or what they can do.
pub(super) async fn follow(
    links: Links,
    interfaces: Arc<Mutex<Interfaces>>,
    control: Arc<Control>,
    stopped: watch::Receiver<()>,
) {
    let mut told = links.interfaces.subscribe();
    let netdev = interfaces.lock().netdev();
    let mut changes = netdev.and_then(subscribe);
    let mut timer = interval(PERIOD);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut end = std::pin::pin!(ended(stopped));
    loop {
        let mut quiet = false;
        tokio::select! {
            () = &mut end => return,
            changed = told.changed() => if changed.is_err() { return },
            () = next(&mut changes) => {}
            _ = timer.tick() => quiet = true,
        }
        if !quiet {
            sleep(DEBOUNCE).await;
        }
        let table = told.has_changed().unwrap_or(false) || !quiet;
        let table = table.then(|| told.borrow_and_update().clone());
        // Before the first message nothing is known.
        let table = table.filter(|table| !table.is_empty());
        let (interfaces, control) = (Arc::clone(&interfaces), Arc::clone(&control));
        let settled = tokio::task::spawn_blocking(move || {
            own_addresses::follow(control.maps());
            source_checks::follow(control.maps());
            source_checks::let_loopback_forward();
            control.verdicts();
            let hops = control.director().ways_out();
            interfaces.lock().update(&control, table, hops)
        });
        match settled.await {
            Ok(senders) => {
                let publish = |known: &mut Arc<_>| {
                    let differs = **known != senders;
                    if differs {
                        *known = Arc::new(senders);
                    }
                    differs
                };
                links.senders.send_if_modified(publish);
            }
            Err(error) => {
                error!("the interfaces are not followed any more: {error}");
                return;
            }
        }
    }
}

fn subscribe(netdev: Netdev) -> Option<Changes> {
    let changes = netdev.changes();
    changes
        .inspect_err(|error| {
            warn!("the kernel does not announce what its devices do with XDP: {error}");
        })
        .ok()
}

/// Waits for the next announcement; forever, where there are none.
async fn next(changes: &mut Option<Changes>) {
    let Some(listening) = changes else {
        return std::future::pending().await;
    };
    if let Err(error) = listening.next().await {
        warn!("the kernel does not announce any more what its devices do with XDP: {error}");
        *changes = None;
    }
}
