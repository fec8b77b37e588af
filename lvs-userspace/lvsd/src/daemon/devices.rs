//! The devices of the network namespace between the kernel, which tells of them, and the tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use lvs_dataplane::device;
use lvs_dataplane::kernel::Maps;
use lvs_dataplane::neighbour::{Interfaces, Links};
use tokio::sync::watch;
use tracing::{error, warn};

use super::stop::ended;
use crate::control::Control;

/// Keeps the records of the interfaces as the interfaces are.
pub(super) async fn follow(links: Links, control: Arc<Control>, stopped: watch::Receiver<()>) {
    let mut told = links.interfaces.subscribe();
    let mut end = std::pin::pin!(ended(stopped));
    loop {
        tokio::select! {
            () = &mut end => return,
            changed = told.changed() => if changed.is_err() { return },
        }
        let interfaces = told.borrow_and_update().clone();
        let control = Arc::clone(&control);
        let written = tokio::task::spawn_blocking(move || write(control.maps(), &interfaces));
        match written.await {
            Ok(senders) => drop(links.senders.send_replace(Arc::new(senders))),
            Err(error) => error!("the interfaces are not recorded: {error}"),
        }
    }
}

/// Writes the records of the interfaces; returns those that take frames from an XDP program.
pub(super) fn write(maps: &Maps, interfaces: &Interfaces) -> BTreeSet<u32> {
    let senders = device::senders(interfaces);
    let entries = device::entries(interfaces, &senders);
    if let Err(error) = maps.interfaces.write(&entries) {
        warn!("{:#}", anyhow::Error::from(error));
    }
    senders
}
