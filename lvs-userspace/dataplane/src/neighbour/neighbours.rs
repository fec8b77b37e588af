//! The service that follows next hops.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

use super::events::Events;
use super::next_hop::Change;
use super::tables::Interfaces;
use super::task::Task;
use super::tracker::Tracker;
use crate::followed::Followed;
use crate::netlink::{Error, Requests};

/// Reports that may wait for the listener; while there are more, changes are merged.
const REPORTS: usize = 16;

/// Questions and news of the tracker beside next hops.
#[derive(Debug, Default)]
pub struct Links {
    /// Asked: indices of the interfaces that take frames from an XDP program.
    pub senders: watch::Sender<Arc<BTreeSet<u32>>>,
    /// Told: the interfaces of the network namespace, as they change.
    pub interfaces: watch::Sender<Arc<Interfaces>>,
}

/// Follows next hops until it is dropped.
#[derive(Debug)]
pub struct Neighbours {
    _end: oneshot::Sender<()>,
}

impl Neighbours {
    /// Starts to follow the next hops of these addresses, in the network namespace of the calling thread. Each new
    /// address is reported soon, be it resolved or not. Changes come in groups that belong to one event; the receiver
    /// ends if the kernel closes the connection.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(
        links: &Links,
        mut followed: watch::Receiver<Followed>,
    ) -> Result<(Self, mpsc::Receiver<Vec<Change>>), Error> {
        // Also the addresses that are there already.
        followed.mark_changed();
        let (reports, changes) = mpsc::channel(REPORTS);
        let (end, ended) = oneshot::channel();
        let task = Task {
            // Before anything is read, so that nothing that changes afterwards is missed.
            events: Events::open()?,
            requests: Requests::open()?,
            followed,
            ended,
            reports,
            senders: links.senders.subscribe(),
            interfaces: links.interfaces.clone(),
            tracker: Tracker::default(),
        };
        tokio::spawn(async move {
            if let Err(error) = task.run().await {
                error!("next hops are no longer followed: {error}");
            }
        });
        Ok((Self { _end: end }, changes))
    }
}
