//! Next hops of the real servers: where the kernel would send a packet, followed through netlink as
//! it changes.
//!
//! The packet program asks nobody for a next hop; this module does so ahead of the packets. For
//! every followed address it asks the kernel for the route, sees to it that the neighbour on that
//! route is known and stays known, and reports where frames have to go. Routes, rules, links,
//! addresses and neighbours are followed as they change.
//!
//! - `facts`: what the kernel tells, as plain values; `decode`: netlink messages to facts.
//! - `resolve`: the decision, from facts to a next hop.
//! - `asks`: when the kernel is asked for which neighbour.
//! - `tracker`: facts go in, questions and changes come out; no I/O, no clock.
//! - `ports`: by which interfaces packets of services come and go.
//! - `lookup`: routes, asked for one address at a time.
//! - `netlink`, `events`, `task`: the sockets, and what runs between them and the tracker.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use lvs_common::abi::Mac;
use tokio::sync::{mpsc, watch};
use tracing::error;

mod asks;
mod decode;
mod events;
mod facts;
mod lookup;
pub mod netlink;
mod ports;
mod resolve;
mod task;
mod tracker;

use events::Events;
pub(crate) use facts::Route;
pub(crate) use lookup::look_up;
pub use netlink::Error;
use netlink::Requests;
pub use ports::ports;
use task::Task;
use tracker::Tracker;

/// How packets reach an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It is this host's own.
    Local,
    /// In frames to this next hop.
    Resolved(NextHop),
    /// Not, or not yet; the reason in words.
    Unresolved(String),
}

/// Where to send the frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Ethernet address of the neighbour.
    pub destination: Mac,
    /// Ethernet address of the interface.
    pub source: Mac,
    /// VLAN id; 0: untagged.
    pub vlan: u16,
    /// Largest IP packet in bytes, by the route and the interface.
    pub mtu: u16,
    /// Index of the interface that frames leave by; never a VLAN device, but the one under it.
    pub interface: u32,
    /// Its name.
    pub interface_name: String,
    /// Source of IPv4 packets of this host's own (tunnels, ICMP errors) by this hop.
    pub source4: Option<Ipv4Addr>,
    /// Likewise for IPv6.
    pub source6: Option<Ipv6Addr>,
}

/// An address is reached in another way than reported before, or is reported for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The followed address.
    pub address: IpAddr,
    /// How packets reach it now.
    pub resolution: Resolution,
}

/// Reports that may wait for the listener; while there are more, changes are merged.
const REPORTS: usize = 16;

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
    pub fn start() -> Result<(Self, mpsc::Receiver<Vec<Change>>), Error> {
        let (followed, addresses) = watch::channel(Arc::default());
        let (reports, changes) = mpsc::channel(REPORTS);
        let task = Task {
            // Before anything is read, so that nothing that changes afterwards is missed.
            events: Events::open()?,
            requests: Requests::open()?,
            followed: addresses,
            reports,
            tracker: Tracker::default(),
        };
        tokio::spawn(async move {
            if let Err(error) = task.run().await {
                error!("next hops are no longer followed: {error}");
            }
        });
        Ok((Self { followed }, changes))
    }

    /// Sets the addresses of interest: all real servers. Each new one is reported soon, be it
    /// resolved or not.
    pub fn follow(&self, addresses: BTreeSet<IpAddr>) {
        self.followed.send_replace(Arc::new(addresses));
    }
}
