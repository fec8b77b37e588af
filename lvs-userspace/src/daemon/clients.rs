//! Next hops of clients that were never heard here, for connections of other directors.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::error;

use crate::client_next_hops::{ClientNextHops, ClientsWithoutNextHop};
use crate::control::server::Control;
use crate::neighbour::{Change, Neighbours};

/// Looks for the clients of the connections that the sweeps find, until there are no more sweeps.
pub(super) fn find(
    control: Arc<Control>,
    mut waiting: watch::Receiver<ClientsWithoutNextHop>,
) -> Result<JoinHandle<()>> {
    let (neighbours, mut changes) = Neighbours::start()?;
    Ok(tokio::spawn(async move {
        let mut next_hops = ClientNextHops::default();
        while let Some(news) = next(&mut waiting, &mut changes).await {
            let (control, neighbours) = (Arc::clone(&control), neighbours.clone());
            // A million entries may be looked at: not on the runtime's own threads.
            let done = tokio::task::spawn_blocking(move || {
                let maps = control.maps();
                match news {
                    News::Waiting(waiting) => neighbours.follow(next_hops.follow(maps, &waiting)),
                    News::Found(changes) => {
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

enum News {
    /// The last sweep met these.
    Waiting(ClientsWithoutNextHop),
    /// The resolver has found out.
    Found(Vec<Change>),
}

async fn next(
    waiting: &mut watch::Receiver<ClientsWithoutNextHop>,
    changes: &mut mpsc::Receiver<Vec<Change>>,
) -> Option<News> {
    tokio::select! {
        more = waiting.changed() => {
            more.ok()?;
            Some(News::Waiting(waiting.borrow_and_update().clone()))
        }
        found = changes.recv() => found.map(News::Found),
    }
}
