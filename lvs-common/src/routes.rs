//! The kernel's routes, asked while a packet is handled (the helper `bpf_fib_lookup`).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::abi::{Address, Mac};
use crate::connection::Ports;

/// A question and, afterwards, the answer to it: the kernel's `struct bpf_fib_lookup`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Lookup {
    /// Address family as sockets number them. Answer: that of the next hop, see `destination`.
    pub family: u8,
    /// Transport protocol, for rules and multipath.
    pub protocol: u8,
    /// Ports, for rules and multipath.
    pub ports: Ports,
    /// Bytes of the packet; 0: its size is not asked about.
    pub length: u16,
    /// Index of the interface by which the packet came. Answer: of the one by which it leaves.
    pub interface: u32,
    /// Type of service, or flow label.
    pub class: u32,
    /// Source address.
    pub source: Address,
    /// Destination address. Answer: the next hop on its link.
    pub destination: Address,
    /// Not used.
    pub vlan: [u16; 2],
    /// Answer: the Ethernet address of the interface by which the packet leaves.
    pub own: Mac,
    /// Answer: that of the next hop.
    pub neighbour: Mac,
}

const _: () = assert!(size_of::<Lookup>() == 64);

impl Lookup {
    /// Flag: only routes by the interface that is named count.
    pub const OUTPUT: u32 = 2;

    /// Answer: a next hop, with all that a frame to it needs.
    pub const FOUND: u32 = 0;
    /// Answer: the host is this one, the address a broadcast one, or no route leads to it.
    pub const NOT_FORWARDED: u32 = 4;
    /// Answer: nothing that comes by this interface is forwarded.
    pub const FORWARDING_OFF: u32 = 5;
    /// Answer: a next hop whose Ethernet address is not known.
    pub const NO_NEIGHBOUR: u32 = 7;
    /// Answer: a next hop, but the packet is too long for the way there.
    pub const TOO_LONG: u32 = 8;

    /// Returns whether an answer names a next hop: whatever else it says, a route leads there.
    #[inline(always)]
    pub const fn leads_on(answer: u32) -> bool {
        matches!(answer, Self::FOUND | Self::NO_NEIGHBOUR | Self::TOO_LONG)
    }
}

/// The routes of the network namespace that a packet came into. A copy is a handle to the same ones.
pub trait Routes: Copy {
    /// Looks up the way of a packet. Returns the kernel's answer, of which [`Lookup`] names those that matter.
    fn look_up(self, lookup: &mut Lookup, flags: u32) -> u32;
}
