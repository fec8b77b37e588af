//! The kernel's network tables, reduced to what decides about a next hop. Plain values: no netlink in here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use lvs_common::abi::Mac;

/// Interfaces, addresses and neighbours. Routes are asked for one address at a time, because only the
/// kernel knows what its rules, tables and multipath choose.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// By index.
    pub(super) interfaces: Interfaces,
    /// Indices of the interfaces that take frames from an XDP program.
    pub(super) senders: Arc<BTreeSet<u32>>,
    /// By interface index, in the kernel's order.
    pub(super) addresses: BTreeMap<u32, Vec<Address>>,
    pub(super) neighbours: HashMap<NeighbourKey, Neighbour>,
}

/// Interfaces by their index.
pub type Interfaces = BTreeMap<u32, Interface>;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The kernel's word for what it is (`veth`, `bridge`); empty for hardware.
    pub kind: String,
    /// Ethernet address; `None`: no frames for neighbours leave there.
    pub mac: Option<Mac>,
    /// Packets have an Ethernet header there.
    pub ethernet: bool,
    /// Switched on by the operator.
    pub(crate) up: bool,
    /// The medium is there.
    pub(crate) carrier: bool,
    /// The way neighbours are found on it.
    pub(crate) discovery: Discovery,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Set on a VLAN device.
    pub vlan: Option<Vlan>,
    /// Index of the interface that it lies upon (VLAN, macvlan, ipvlan); never a veth device's other end.
    pub lower: Option<u32>,
    /// Index of the bridge or bond that it is a port of.
    pub master: Option<u32>,
}

impl Interface {
    /// One that is up.
    #[cfg(test)]
    pub(crate) fn example(name: &str, kind: &str) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            ethernet: true,
            up: true,
            carrier: true,
            discovery: Discovery::Solicited,
            mtu: 1500,
            vlan: None,
            lower: None,
            master: None,
        }
    }

    /// The tag and the interface below it, of a VLAN device whose frames an XDP program could tag itself.
    pub(crate) fn plain_vlan(&self) -> Option<(u32, u16)> {
        let vlan = self.vlan.filter(|vlan| vlan.customer)?;
        Some((vlan.lower?, vlan.id))
    }

    /// True if packets can leave by it.
    pub const fn can_send(&self) -> bool {
        self.up && self.carrier
    }
}

/// The source of a neighbour's Ethernet address on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// ARP or neighbour discovery.
    Solicited,
    /// Switched off (`ip link set … arp off`): Linux writes the interface's own address.
    Own,
    /// Point to point: there is one other end, Linux writes the broadcast address.
    Broadcast,
}

/// The tag of a VLAN device, and the interface below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// Index of the interface that carries the tagged frames; `None`: it lies in another network namespace.
    pub lower: Option<u32>,
    /// VLAN id.
    pub id: u16,
    /// The tag is 802.1Q's, not that of a service provider (802.1ad).
    pub customer: bool,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    /// Valid beyond its network segment.
    pub(super) global: bool,
    /// Fit to be a source: not secondary, deprecated, tentative or a duplicate.
    pub(super) preferred: bool,
    /// It is its whole network (/32, /128), as virtual addresses are.
    pub(super) host: bool,
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
