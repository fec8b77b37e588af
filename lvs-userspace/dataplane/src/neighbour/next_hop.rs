//! Next hops, as they are reported.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lvs_common::abi::Mac;

/// The way of packets to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It is this host's own.
    Local,
    /// In frames to this next hop.
    Resolved(NextHop),
    /// None yet; the reason in words.
    Unresolved(String),
    /// None: there is no route, or the neighbour does not answer; the reason in words.
    Unreachable(String),
}

/// The addresses and the interface of frames on their way out.
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
    /// Index of the interface that an XDP program sends by: not a VLAN device, but the one below it.
    pub interface: u32,
    /// Its name.
    pub interface_name: String,
    /// Index of the interface that the route names.
    pub device: u32,
    /// `interface` takes frames that an XDP program sends, with the tag `vlan`.
    pub xdp: bool,
    /// Packets have an Ethernet header there. If not, both addresses are zero.
    pub ethernet: bool,
    /// Source of IPv4 packets of this host's own (tunnels, ICMP errors) by this hop.
    pub source4: Option<Ipv4Addr>,
    /// Source of IPv6 packets of this host's own by this hop.
    pub source6: Option<Ipv6Addr>,
}

/// A new resolution of a followed address, or its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The followed address.
    pub address: IpAddr,
    /// The way of packets to it from now on.
    pub resolution: Resolution,
}
