//! Next hops of clients that never sent a packet here, for connections of other directors.

use std::sync::Arc;

use anyhow::Result;
use lvs_dataplane::client_next_hops::{ClientNextHops, ClientsWithoutNextHop};
use lvs_dataplane::neighbour::{Change, Links, Neighbours};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::error;

use crate::control::Control;

/// Resolves the clients of the connections that the sweeps find, until there are no more sweeps.
pub(super) fn follow(
    control: Arc<Control>,
    mut waiting: watch::Receiver<ClientsWithoutNextHop>,
) -> Result<JoinHandle<()>> {
    let (neighbours, mut changes) = Neighbours::start(&Links::default())?;
    Ok(tokio::spawn(async move {
        let mut next_hops = ClientNextHops::default();
        while let Some(event) = next(&mut waiting, &mut changes).await {
            let (control, neighbours) = (Arc::clone(&control), neighbours.clone());
            // A million entries may be looked at: not on the runtime's own threads.
            let done = tokio::task::spawn_blocking(move || {
                let maps = control.maps();
                match event {
                    Event::Swept(waiting) => neighbours.follow(next_hops.follow(maps, &waiting)),
                    Event::Resolved(changes) => {
                        for change in changes {
                            next_hops.resolve(maps, change);
                        }
                    }
                }
                next_hops
            });
            match done.await {
                Ok(done) => next_hops = done,
                Err(error) => {
                    error!("clients of other directors are not looked for any more: {error}");
                    return;
                }
            }
        }
    }))
}

enum Event {
    /// The connections of the last sweep.
    Swept(ClientsWithoutNextHop),
    /// Reports of the resolver.
    Resolved(Vec<Change>),
}

async fn next(
    waiting: &mut watch::Receiver<ClientsWithoutNextHop>,
    changes: &mut mpsc::Receiver<Vec<Change>>,
) -> Option<Event> {
    tokio::select! {
        more = waiting.changed() => {
            more.ok()?;
            Some(Event::Swept(waiting.borrow_and_update().clone()))
        }
        found = changes.recv() => found.map(Event::Resolved),
    }
}
