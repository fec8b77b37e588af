//! The service that follows next hops.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tracing::error;

use super::events::Events;
use super::next_hop::Change;
use super::tables::Interfaces;
use super::task::Task;
use super::tracker::Tracker;
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

/// Follows next hops until it, and every copy of it, is dropped.
#[derive(Clone, Debug)]
pub struct Neighbours {
    followed: watch::Sender<Arc<BTreeSet<IpAddr>>>,
}

impl Neighbours {
    /// Starts to follow next hops in the network namespace of the calling thread. Changes come in
    /// groups that belong to one event; the receiver ends if the kernel closes the connection.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(links: &Links) -> Result<(Self, mpsc::Receiver<Vec<Change>>), Error> {
        let (followed, addresses) = watch::channel(Arc::default());
        let (reports, changes) = mpsc::channel(REPORTS);
        let task = Task {
            // Before anything is read, so that nothing that changes afterwards is missed.
            events: Events::open()?,
            requests: Requests::open()?,
            followed: addresses,
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
        Ok((Self { followed }, changes))
    }

    /// Sets the followed addresses: all real servers. Each new one is reported soon, be it resolved or not.
    pub fn follow(&self, addresses: BTreeSet<IpAddr>) {
        self.followed.send_replace(Arc::new(addresses));
    }
}
