//! Entries that may not be recycled although they are half-open.
//!
//! The two entries of a NAT connection lead to each other. While they are being tied together neither
//! may go; afterwards the reply entry is as recyclable as its connection.

use super::find::{by_number, inserted, unchanged};
use super::remove::discard;
use super::slot::{Inserted, Slot};
use super::ways::{Store, Ways};
use crate::family::Family;

/// Ends the pinning of an entry that was just inserted, unless a packet of its connection did so
/// already. A full barrier. False: the entry is gone.
#[inline(always)]
fn unpin<F: Family, S: Ways<F>>(slot: &Slot<S>, half_open: bool) -> bool {
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

/// Ties the two entries of a NAT connection, which were inserted pinned, together and lets go of them.
///
/// Either may be recycled as soon as it is let go of, or removed by the operator; then both are gone when
/// this returns. The packet that made them is forwarded all the same: had they gone a moment later, it
/// would have been, too.
#[inline(never)]
pub fn tie<F: Family, T: Store<F>>(
    table: T,
    reply: Inserted,
    connection: Inserted,
    half_open: bool,
) {
    let (Some(from), Some(to)) = (
        inserted::<F, T>(table, reply),
        inserted::<F, T>(table, connection),
    ) else {
        return;
    };
    from.set.set_partner(from.way, to.number);
    // Who removes the connection looks at its reply entry after that; here it is the other way round,
    // with a full barrier between on both sides: one of the two sees that the reply entry is to go.
    let replies = unpin::<F, _>(&from, half_open);
    let known = unpin::<F, _>(&to, half_open);
    if !known || !replies {
        discard::<F, T>(table, reply);
        discard::<F, T>(table, connection);
        return;
    }
    if !to.set.tag(to.way).is_half_open() {
        // A packet of the connection was faster still.
        pin::<F, T>(table, reply.number, false);
    }
}
