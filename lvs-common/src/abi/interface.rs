//! The interfaces of the director's network namespace.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::address::Mac;

/// Index of the loopback interface in every network namespace.
pub const LOOPBACK: u32 = 1;

/// An interface, as far as the packet path asks about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Interface {
    /// Bits of [`Interface`]: `SENDS_XDP` and the like.
    pub flags: u32,
    /// Index of the interface that carries its frames: for a VLAN device the one below it, else itself.
    pub lower: u32,
    /// Ethernet address; zero where there is none.
    pub mac: Mac,
    /// VLAN tag that its frames carry on `lower` (network order: priority and id); 0: none.
    pub vlan: U16,
    /// Largest IP packet that fits, in bytes.
    pub mtu: u16,
    /// Always zero.
    pub reserved: [u8; 2],
    /// Number of the group of interfaces that equal-cost routes (IPv4) lead by, with others of the same number; 0: of
    /// none.
    pub equal_cost: u32,
}

impl Interface {
    /// Bit of `flags`: `lower` takes frames that an XDP program sends, with the tag `vlan`.
    pub const SENDS_XDP: u32 = 1;
    /// Bit of `flags`: packets have no Ethernet header there (tun, WireGuard, tunnels).
    pub const NO_ETHERNET: u32 = 2;
    /// Bit of `flags`: packets from this machine's own addresses are accepted (`accept_local`).
    pub const ACCEPT_LOCAL: u32 = 4;
    /// Bit of `flags`: the way back to a source has to lead through this interface (`rp_filter` 1, RFC 3704).
    pub const RP_STRICT: u32 = 8;
    /// Bit of `flags`: there has to be a way back to a source (`rp_filter` 2).
    pub const RP_LOOSE: u32 = 16;
    /// Bit of `flags`: loopback addresses are accepted (`route_localnet`).
    pub const ROUTE_LOCALNET: u32 = 32;
    /// Bit of `flags`: frames that come by it may be another device's ([`super::UPPER_DEVICES`]).
    pub const HAS_UPPER: u32 = 64;
    /// Either of the bits for `rp_filter`.
    pub const RP_FILTER: u32 = Self::RP_STRICT | Self::RP_LOOSE;
    /// The bits that change which sources are refused.
    pub const SOURCE_CHECKS: u32 = Self::RP_FILTER | Self::ACCEPT_LOCAL | Self::ROUTE_LOCALNET;
}

const _: () = assert!(size_of::<Interface>() == 24);
