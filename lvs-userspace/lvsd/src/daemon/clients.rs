//! Next hops of clients that were never heard here, for connections of other directors.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::error;

use crate::control::server::Control;
use lvs_dataplane::neighbour::{Change, Neighbours};
use lvs_dataplane::whereabouts::{Unheard, Whereabouts};

/// Looks for the clients of the connections that the sweeps find, until there are no more sweeps.
pub(super) fn find(
    control: Arc<Control>,
    mut unheard: watch::Receiver<Unheard>,
) -> Result<JoinHandle<()>> {
    let (neighbours, mut changes) = Neighbours::start()?;
    Ok(tokio::spawn(async move {
        let mut whereabouts = Whereabouts::default();
        while let Some(news) = next(&mut unheard, &mut changes).await {
            let (control, neighbours) = (Arc::clone(&control), neighbours.clone());
            // A million entries may be looked at: not on the runtime's own threads.
            let done = tokio::task::spawn_blocking(move || {
                let maps = control.maps();
                match news {
                    News::Unheard(unheard) => neighbours.follow(whereabouts.want(maps, &unheard)),
                    News::Found(changes) => {
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

enum News {
    /// The last sweep met these.
    Unheard(Unheard),
    /// The resolver has found out.
    Found(Vec<Change>),
}

async fn next(
    unheard: &mut watch::Receiver<Unheard>,
    changes: &mut mpsc::Receiver<Vec<Change>>,
) -> Option<News> {
    tokio::select! {
        more = unheard.changed() => {
            more.ok()?;
            Some(News::Unheard(unheard.borrow_and_update().clone()))
        }
        found = changes.recv() => found.map(News::Found),
    }
}
