//! Next hops of clients that never sent a packet here, for connections of other directors.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::error;

use crate::control::server::Control;
use lvs_dataplane::neighbour::{Change, Neighbours};
use lvs_dataplane::whereabouts::{Unheard, Whereabouts};

/// Resolves the clients of the connections that the sweeps find, until there are no more sweeps.
pub(super) fn follow(
    control: Arc<Control>,
    mut unheard: watch::Receiver<Unheard>,
) -> Result<JoinHandle<()>> {
    let (neighbours, mut changes) = Neighbours::start()?;
    Ok(tokio::spawn(async move {
        let mut whereabouts = Whereabouts::default();
        while let Some(event) = next(&mut unheard, &mut changes).await {
            let (control, neighbours) = (Arc::clone(&control), neighbours.clone());
            // A million entries may be looked at: not on the runtime's own threads.
            let done = tokio::task::spawn_blocking(move || {
                let maps = control.maps();
                match event {
                    Event::Swept(unheard) => neighbours.follow(whereabouts.want(maps, &unheard)),
                    Event::Resolved(changes) => {
                        for change in changes {
                            whereabouts.learn(maps, change);
                        }
                    }
                }
                whereabouts
            });
            match done.await {
                Ok(done) => whereabouts = done,
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
    Swept(Unheard),
    /// Reports of the resolver.
    Resolved(Vec<Change>),
}

async fn next(
    unheard: &mut watch::Receiver<Unheard>,
    changes: &mut mpsc::Receiver<Vec<Change>>,
) -> Option<Event> {
    tokio::select! {
        more = unheard.changed() => {
            more.ok()?;
            Some(Event::Swept(unheard.borrow_and_update().clone()))
        }
        found = changes.recv() => found.map(Event::Resolved),
    }
}
