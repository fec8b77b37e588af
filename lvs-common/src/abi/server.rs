//! Real servers, next hops to them, and their counters.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::address::{Address, EthernetAddresses};
use super::encapsulation::Encapsulation;

/// A real server's identity and where to send its packets. The index stays taken while connections
/// refer to it, also after the operator deleted the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Server {
    /// The server's address.
    pub address: Address,
    /// Port, network order; 0: the packet's own.
    pub port: U16,
    /// 4 or 6; 0: this index is free.
    pub family: u8,
    /// Bits of [`Server`]: `DELETED`, `DOWN` and the like; the upper four are its tunnel's [`Encapsulation`].
    pub flags: u8,
    /// Index of the service it belongs to.
    pub service: u32,
    /// Hop number; 0: unresolved.
    pub hop: u32,
    /// Number of its [`super::SourcePool`] (full NAT); 0: it sees clients' own addresses.
    pub source_pool: u16,
    /// Destination port of its tunnel (GUE), network order; 0: it has none.
    pub tunnel_port: U16,
}

impl Server {
    /// Bit of `flags`: no longer configured; packets of its connections are dropped.
    pub const DELETED: u8 = 1;
    /// Bit of `flags`: it is down, and its connections are not to wait for it, see
    /// `forward/orphan.rs`.
    pub const DOWN: u8 = 2;
    /// Bit of `flags`, beside `DOWN`: it may be alive, and is told of the end of each connection, too.
    pub const RESET: u8 = 4;
    /// Bit of `flags`: it is quiesced, and its templates lead no new connection to it (`expire_quiescent_template` of
    /// IPVS).
    pub const NO_TEMPLATES: u8 = 8;
    /// The bits of `flags` of a server whose connections cannot just go on.
    pub const GONE: u8 = Self::DELETED | Self::DOWN | Self::RESET;

    /// The encapsulation of its tunnel.
    #[inline(always)]
    pub const fn encapsulation(&self) -> Encapsulation {
        Encapsulation::from_bits(self.flags)
    }
}

/// A next hop: immutable once a server refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Hop {
    /// Ethernet addresses of frames to it.
    pub ethernet: EthernetAddresses,
    /// VLAN tag (network order: priority and id), 0: untagged.
    pub vlan: U16,
    /// Largest IP packet that fits, in bytes.
    pub mtu: u16,
    /// Interface that an XDP program sends by: for a VLAN device the one below it.
    pub interface: u32,
    /// Outer IPv4 source of tunnels through this hop.
    pub source4: [u8; 4],
    /// Outer IPv6 source of tunnels through this hop.
    pub source6: [u8; 16],
    /// Bits of [`Hop`]: `LOCAL`, `XDP`, `NO_ETHERNET`, `UNREACHABLE`.
    pub flags: u32,
    /// Interface that the route names, where packets leave as socket buffers: a VLAN device adds its tag itself.
    pub device: u32,
    /// Always zero.
    pub reserved: [u8; 16],
}

impl Hop {
    /// Bit of `flags`: the address is the director's own; packets go up its own stack.
    pub const LOCAL: u32 = 1;
    /// Bit of `flags`: `interface` takes frames that an XDP program sends, with the tag `vlan`.
    pub const XDP: u32 = 2;
    /// Bit of `flags`: `device` takes packets without an Ethernet header.
    pub const NO_ETHERNET: u32 = 4;
    /// Bit of `flags`: there is no route to the address, or its neighbour does not answer. `mtu` is 0, so that
    /// packets come here with those that are too big.
    pub const UNREACHABLE: u32 = 8;
}

/// Connections a server holds at the moment.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Load {
    /// Active connections in the low half, inactive ones in the high half: one atomic addition moves
    /// a connection from one to the other.
    pub counts: u64,
    /// Not 0 from the moment the upper threshold is reached until the lower one is passed.
    pub overloaded: u32,
    /// Persistence templates.
    pub templates: u32,
    /// Root of the tournament tree that the server is in, see [`super::TreeNode`]; 0: none.
    pub tree: u32,
    /// Its position among the members of that tree.
    pub position: u32,
    /// Keeps it in one cache line.
    pub reserved: [u32; 2],
}

impl Load {
    /// The addition of a new active connection to `counts`.
    pub const ACTIVE: u64 = 1;
    /// The addition of a new inactive connection to `counts`.
    pub const INACTIVE: u64 = 1 << 32;

    /// Active connections.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub const fn active(self) -> u32 {
        self.counts as u32
    }

    /// Inactive connections.
    pub const fn inactive(self) -> u32 {
        (self.counts >> 32) as u32
    }
}

/// Traffic counted as IPVS does: bytes are those of the IP packet, outgoing ones only what passes
/// the director.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Stats {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
}

impl Stats {
    /// Both together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        self.combined(other, u64::wrapping_add)
    }

    /// The traffic since an earlier count.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.combined(earlier, u64::wrapping_sub)
    }

    /// The difference, and zero where the other is larger.
    #[must_use]
    pub fn without(&self, part: &Self) -> Self {
        self.combined(part, u64::saturating_sub)
    }

    /// Of each number the smaller one.
    #[must_use]
    pub fn at_most(&self, other: &Self) -> Self {
        self.combined(other, u64::min)
    }

    fn combined(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let (mut all, other): ([u64; 5], [u64; 5]) =
            (zerocopy::transmute!(*self), zerocopy::transmute!(*other));
        for (one, other) in all.iter_mut().zip(other) {
            *one = combine(*one, other);
        }
        zerocopy::transmute!(all)
    }
}

const _: () = {
    assert!(size_of::<Server>() == 32);
    assert!(size_of::<Hop>() == 64);
    assert!(size_of::<Load>() == 32);
    assert!(size_of::<Stats>() == 40);
};
