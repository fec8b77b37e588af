//! Probes that go by the service path.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::address::{Address, Mac};

/// Key of a probe on the service path: addresses and ports of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProbeKey {
    /// The virtual address.
    pub virtual_address: Address,
    /// The address it comes from: the director's own.
    pub own_address: Address,
    /// The port that is probed, network order; 0 of an echo request.
    pub virtual_port: U16,
    /// The port it comes from, network order; the identifier of an echo request.
    pub own_port: U16,
    /// IP protocol number.
    pub protocol: u8,
    /// 4 or 6: family of both addresses.
    pub family: u8,
    /// Always zero.
    pub reserved: [u8; 2],
}

/// The route of a probe on the service path to its real server, and of the answers back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProbeRoute {
    /// The neighbour that its packets are sent to: the real server, or the router on the way there.
    pub neighbour: Address,
    /// Outer source, if the server is reached by a tunnel.
    pub tunnel_source: Address,
    /// Outer destination: the real server.
    pub tunnel_destination: Address,
    /// Interface they leave by.
    pub interface: u32,
    /// Interface that they come from, and answers go to.
    pub probe_interface: u32,
    /// Ethernet address behind `probe_interface`.
    pub probe_mac: Mac,
    /// 4 or 6: family of `neighbour`.
    pub neighbour_family: u8,
    /// 4 or 6: family of the tunnel; 0: there is none.
    pub tunnel_family: u8,
}

const _: () = {
    assert!(size_of::<ProbeKey>() == 40);
    assert!(size_of::<ProbeRoute>() == 64);
};
