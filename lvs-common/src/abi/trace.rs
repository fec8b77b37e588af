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
    /// The reason for dropping a copy for a packet socket (`SKB_DROP_REASON_PACKET_SOCK_ERROR`, since Linux 6.9),
    /// `u32::MAX` where there is none.
    pub tap: u32,
}

impl TraceOffsets {
    /// The bits of `sk_buff.tc_index` that are [`Self::sent`]. The others are a virtual queue of GRED (`sch_gred`),
    /// which writes its default queue's number there.
    pub const SENT: u16 = !0xf;

    /// The value of `sk_buff.tc_index` of what the director sent: never 0, and for GRED what it is of packets that
    /// nobody marked. It stays with a packet that goes to another network namespace, where another director may be.
    ///
    /// Others that read the field, where an operator uses them: the match `meta` of TC's filters (`em_meta`), and up to
    /// Linux 6.2 the classifier `tcindex` and the queueing discipline `dsmark`.
    #[must_use]
    pub const fn sent(&self) -> u16 {
        let [.., high, low] = self.own.to_be_bytes();
        (u16::from_be_bytes([high, low]) << 5) | 0x10
    }

    /// Returns whether this is the `tc_index` of a packet that the director sent.
    #[must_use]
    pub const fn is_sent(&self, index: u16) -> bool {
        index & Self::SENT == self.sent()
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::TraceOffsets;

    #[test]
    fn the_mark_leaves_the_virtual_queue_of_gred_alone() {
        for own in [0, 1, 0xf000_0000, u32::MAX] {
            let mut offsets = TraceOffsets::new_zeroed();
            offsets.own = own;
            let sent = offsets.sent();
            assert_eq!(sent & 0xf, 0);
            assert!(offsets.is_sent(sent | 7), "GRED's default queue");
            assert!(!offsets.is_sent(0), "a packet that nobody marked");
            offsets.own ^= 1;
            assert!(!offsets.is_sent(sent), "another director's");
        }
    }
}
