//! Frames that nobody sent, see [`super::LOST_FRAMES`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Key of the frames that an XDP program handed over and that were lost after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LostKey {
    /// Index of the interface that should have sent them; with [`LostKey::TRIED`] for frames of the daemon's own.
    pub interface: u32,
    /// The kernel's error number (errno(3)); 0: it named none.
    pub error: u32,
}

impl LostKey {
    /// Bit of `interface`: the frames came by no interface. The daemon made them to try this one out.
    pub const TRIED: u32 = 1 << 31;
}

/// Offsets of the fields that the programs which count lost frames read, in bytes from the beginning of the
/// kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TraceOffsets {
    /// `net_device.ifindex`.
    pub interface: u32,
    /// `net_device.nd_net`.
    pub namespace: u32,
    /// `net.ns.inum`.
    pub number: u32,
    /// The `inum` of the director's network namespace.
    pub own: u32,
}
