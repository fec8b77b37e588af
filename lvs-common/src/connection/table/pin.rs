//! Entries that may not be recycled although they are half-open.
//!
//! The two entries of a NAT connection lead to each other. While they are being tied together neither
//! may go; afterwards the reply entry is as recyclable as its connection.

use super::find::{by_number, unchanged};
use super::{Slot, Store, Ways};
use crate::family::Family;

/// Ends the pinning of an entry that was just inserted, unless a packet of its connection did so
/// already. A full barrier. False: the entry is gone.
#[inline(always)]
pub fn unpin<F: Family, S: Ways<F>>(slot: &Slot<S>, half_open: bool) -> bool {
    let free = slot.tag.live(slot.tag.state(), half_open);
    slot.set.exchange(slot.way, slot.tag, free) || unchanged(slot)
}

/// Makes the entry with this number (plus one) recyclable or not, if there is one.
#[inline(always)]
pub fn pin<F: Family, T: Store<F>>(table: T, number: u32, half_open: bool) {
    if let Some(Slot { set, way, tag, .. }) = by_number::<F, T>(table, number) {
        // Losing this race means somebody removed or reused the way: nothing left to keep in step.
        set.exchange(way, tag, tag.live(tag.state(), half_open));
    }
}
