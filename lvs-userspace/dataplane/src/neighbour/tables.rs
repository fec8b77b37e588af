//! The kernel's network tables, reduced to what decides about a next hop. Plain values: no netlink in here.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use lvs_common::abi::Mac;

/// Interfaces, addresses and neighbours. Routes are asked for one address at a time, because only the
/// kernel knows what its rules, tables and multipath choose.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// By index.
    pub(super) interfaces: BTreeMap<u32, Interface>,
    /// By interface index, in the kernel's order.
    pub(super) addresses: BTreeMap<u32, Vec<Address>>,
    pub(super) neighbours: HashMap<NeighbourKey, Neighbour>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    /// Ethernet address; `None`: the interface carries no Ethernet frames.
    pub(super) mac: Option<Mac>,
    /// Switched on by the operator.
    pub(super) up: bool,
    /// The medium is there.
    pub(super) carrier: bool,
    /// The way neighbours are found on it.
    pub(super) discovery: Discovery,
    /// Largest IP packet in bytes.
    pub(super) mtu: u32,
    /// Set on a VLAN device.
    pub(super) vlan: Option<Vlan>,
}

impl Interface {
    /// True if packets can leave by it.
    pub(super) fn can_send(&self) -> bool {
        self.up && self.carrier
    }
}

/// The source of a neighbour's Ethernet address on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discovery {
    /// ARP or neighbour discovery.
    Solicited,
    /// Switched off (`ip link set … arp off`): Linux writes the interface's own address.
    Own,
    /// Point to point: there is one other end, Linux writes the broadcast address.
    Broadcast,
}

/// The tag of a VLAN device, and the interface below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vlan {
    /// Index of the interface that carries the tagged frames; `None`: it lies in another network namespace.
    pub(super) lower: Option<u32>,
    /// VLAN id.
    pub(super) id: u16,
    /// The tag is 802.1Q's, not that of a service provider (802.1ad).
    pub(super) customer: bool,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    /// Valid beyond its network segment.
    pub(super) global: bool,
    /// Fit to be a source: not secondary, deprecated, tentative or a duplicate.
    pub(super) preferred: bool,
}

/// The key of an entry in the kernel's neighbour tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NeighbourKey {
    /// Interface index.
    pub(super) interface: u32,
    /// Address on that interface's segment.
    pub(super) address: IpAddr,
}

/// The state of an entry in the kernel's neighbour tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// Its Ethernet address, learned and usable (reachable, stale, delay, probe).
    Known(Mac),
    /// Its Ethernet address, in an entry that somebody else keeps: the operator (permanent), a routing
    /// daemon (learned externally), the kernel (managed, or no ARP).
    Fixed(Mac),
    /// Solicited, no answer yet.
    Incomplete,
    /// It did not answer.
    Failed,
    /// The kernel refused to solicit it; the reason.
    Refused(String),
}

/// The kernel's answer to a route lookup for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The address is this host's own.
    Local,
    /// By an interface.
    Unicast {
        /// Interface index.
        interface: u32,
        /// Router on that interface's segment, of either family; `None`: the address itself is there.
        gateway: Option<IpAddr>,
        /// Preferred source address.
        source: Option<IpAddr>,
        /// The route's own limit of packet size in bytes.
        mtu: Option<u32>,
    },
    /// No route; the reason, a sentence.
    None(String),
}
