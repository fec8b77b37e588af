//! Frames that nobody sent, see [`super::LOST_FRAMES`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Key of the frames that a program handed over and that were lost after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LostKey {
    /// Index of the interface that should have sent them; with [`LostKey::TRIED`] for frames of the daemon's own.
    pub interface: u32,
    /// After an XDP program the kernel's error number (errno(3)); 0: it named none. With [`LostKey::BUFFER`] the
    /// kernel's reason (`enum skb_drop_reason`) for a socket buffer that a TC program sent.
    pub error: u32,
}

impl LostKey {
    /// Bit of `interface`: the frames came by no interface. The daemon made them to try this one out.
    pub const TRIED: u32 = 1 << 31;
    /// Bit of `error`: it is a reason.
    pub const BUFFER: u32 = 1 << 31;
    /// Bit of a reason, set by the daemon: the kernel named none, and that many of them were lost. (Some drivers free
    /// what they have sent as if they dropped it.)
    pub const CONFIRMED: u32 = 1 << 30;
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
    /// `sk_buff.tc_index`, which says that a TC program of the director sent it.
    pub mark: u32,
    /// `sk_buff.dev`.
    pub device: u32,
    /// `sk_buff.head`.
    pub head: u32,
    /// `sk_buff.end`, an offset from the head: there is the `skb_shared_info`.
    pub end: u32,
    /// `skb_shared_info.gso_segs`.
    pub segments: u32,
    /// The reason that names none (`SKB_DROP_REASON_NOT_SPECIFIED`).
    pub unspecified: u32,
}

impl TraceOffsets {
    /// The value of `sk_buff.tc_index` of what the director sent. Nothing else in today's kernels looks at that field;
    /// it stays with a packet that goes to another network namespace, where another director may be.
    #[must_use]
    pub const fn sent(&self) -> u16 {
        let [.., high, low] = self.own.to_be_bytes();
        u16::from_be_bytes([high, low | 1])
    }
}
