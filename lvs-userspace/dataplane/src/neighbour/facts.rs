//! What the kernel tells about links, addresses, routes and neighbours, reduced to what a next hop
//! is decided by. Plain values: no netlink in here.

use std::net::IpAddr;

use lvs_common::abi::Mac;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Name.
    pub(super) name: String,
    /// Ethernet address; `None`: the interface carries no Ethernet frames.
    pub(super) mac: Option<Mac>,
    /// Switched on by the operator.
    pub(super) up: bool,
    /// The medium is there.
    pub(super) carrier: bool,
    /// How neighbours are found on it.
    pub(super) discovery: Discovery,
    /// Largest IP packet.
    pub(super) mtu: u32,
    /// Set on a VLAN device.
    pub(super) vlan: Option<Vlan>,
}

impl Link {
    /// Whether packets can leave by it.
    pub(super) fn runs(&self) -> bool {
        self.up && self.carrier
    }
}

/// How the Ethernet address of a neighbour is found on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discovery {
    /// ARP or neighbour discovery.
    Asked,
    /// Switched off (`ip link set … arp off`): Linux writes the interface's own address.
    Own,
    /// Point to point: there is one other end, Linux writes the broadcast address.
    Broadcast,
}

/// What makes an interface a VLAN device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vlan {
    /// Interface that carries the tagged frames; `None`: it lies in another network namespace.
    pub(super) lower: Option<u32>,
    /// VLAN id.
    pub(super) id: u16,
    /// The tag is 802.1Q's, not that of a service provider (802.1ad).
    pub(super) customer: bool,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The address.
    pub(super) ip: IpAddr,
    /// Valid beyond its link.
    pub(super) global: bool,
    /// Fit to be a source: not secondary, deprecated, tentative or a duplicate.
    pub(super) preferred: bool,
}

/// What a neighbour is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NeighbourKey {
    /// Interface index.
    pub(super) interface: u32,
    /// Address on that link.
    pub(super) address: IpAddr,
}

/// What the kernel knows about a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// Its Ethernet address, learned and usable (reachable, stale, delay, probe).
    Known(Mac),
    /// Its Ethernet address, in an entry that somebody else keeps: the operator (permanent), a routing
    /// daemon (learned externally), the kernel (managed, or no ARP).
    Fixed(Mac),
    /// Asked for, no answer yet.
    Asked,
    /// It did not answer.
    Silent,
    /// The kernel would not ask; the reason.
    Refused(String),
}

/// The kernel's answer to "how does a packet reach this address?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The address is this host's own.
    Local,
    /// By an interface.
    Unicast {
        /// Interface index.
        interface: u32,
        /// Router on that link, of either family; `None`: the address itself is on the link.
        gateway: Option<IpAddr>,
        /// Preferred source address.
        source: Option<IpAddr>,
        /// The route's own limit of packet size.
        mtu: Option<u32>,
    },
    /// Not at all; the reason, a sentence.
    None(String),
}

/// One thing that became different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// An interface is so now, or gone.
    Link(u32, Option<Link>),
    /// An interface has this address now.
    Address(u32, Address),
    /// An interface has this address no longer.
    NoAddress(u32, IpAddr),
    /// A neighbour is so now, or gone.
    Neighbour(NeighbourKey, Option<Neighbour>),
    /// Routes within this prefix are different.
    Routes(Prefix),
    /// Any route may be different.
    AllRoutes,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// Any address within; its family counts even where `length` is 0.
    pub(super) address: IpAddr,
    /// Leading bits that count.
    pub(super) length: u8,
}

impl Prefix {
    /// First and last address.
    pub(super) fn range(self) -> std::ops::RangeInclusive<IpAddr> {
        match self.address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(self.length.into()).unwrap_or(0);
                let address = address.to_bits();
                IpAddr::V4((address & !host).into())..=IpAddr::V4((address | host).into())
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(self.length.into()).unwrap_or(0);
                let address = address.to_bits();
                IpAddr::V6((address & !host).into())..=IpAddr::V6((address | host).into())
            }
        }
    }
}
