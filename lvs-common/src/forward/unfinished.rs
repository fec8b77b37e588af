//! Checksums that are left to the device that sends a packet at last (`CHECKSUM_PARTIAL`), as those of senders on the
//! same machine are.
//!
//! Until then such a checksum is the sum of the pseudo-header, whatever the segment says. The kernel does not tell a
//! program, but its helper leaves such a checksum alone when a port changes. Where the segment itself is to go, its
//! checksum is still finished: the device knows only where to begin and where to write.

use crate::checksum::{Sum, SumChange};
use crate::packet::Packet;

/// The checksum is complete.
const COMPLETE: u32 = 1 << 16;

/// Returns what a socket buffer holds for its transport checksum at this offset, if that is to be finished.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "16 bits unless it is complete"
)]
pub(super) fn unfinished_sum<P: Packet>(packet: &mut P, offset: usize) -> Option<[u8; 2]> {
    if !P::BUFFER {
        return None;
    }
    match try_change(packet, offset) {
        COMPLETE => None,
        sum => Some((sum as u16).to_ne_bytes()),
    }
}

/// The same in one register.
#[inline(never)]
fn try_change<P: Packet>(packet: &mut P, offset: usize) -> u32 {
    tried(packet, offset).map_or(COMPLETE, |sum| u16::from_ne_bytes(sum).into())
}

#[inline(always)]
fn tried<P: Packet>(packet: &mut P, offset: usize) -> Option<[u8; 2]> {
    let before: [u8; 2] = *packet.header(offset)?;
    let change = SumChange {
        addresses: Sum::default(),
        ports: Sum::default().add([1, 0, 0, 0]),
        optional: false,
        wide: false,
    };
    packet.change_sum(offset, &change)?;
    let after: &mut [u8; 2] = packet.header_mut(offset)?;
    let unfinished = *after == before;
    *after = before;
    unfinished.then_some(before)
}
