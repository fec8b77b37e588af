//! Removal, accounted for by whoever wins it.

use super::find::{by_number, unchanged};
use super::slot::{Inserted, Slot};
use super::ways::{Store, Ways};
use crate::connection::{Kind, Share, Tag};
use crate::family::Family;

/// Removes a connection, its reply entry included. False when somebody else was faster.
#[inline(always)]
pub fn remove<F: Family, T: Store<F>>(table: T, slot: &Slot<T::Set>) -> bool {
    remove_at(table, slot.number, slot.tag)
}

/// Removes an entry that was just inserted, whatever state it is in by now.
#[inline(always)]
pub fn discard<F: Family, T: Store<F>>(table: T, entry: Inserted) {
    if let Some(slot) = by_number(table, entry.number)
        && slot.tag.same_connection(entry.tag)
    {
        remove(table, &slot);
    }
}

#[inline(never)]
fn remove_at<F: Family, T: Store<F>>(table: T, number: u32, expected: Tag) -> bool {
    let Some(slot) = by_number(table, number) else {
        return false;
    };
    let busy = expected.leaving();
    if !slot.set.exchange(slot.way, expected, busy) {
        return false;
    }
    // The partner is read while the way is still ours.
    let partner = slot.set.partner(slot.way);
    let gone = gone(table, slot.set, slot.way, expected);
    slot.set.publish(slot.way, busy.freed());
    account(table, gone);
    // A reply entry whose state changes at this moment is left without a connection, and to the sweep.
    unlink::<F, T>(table, slot.number, partner);
    true
}

/// Takes the way of an entry from it: the way is the caller's, with the tag `mine`, and the entry is accounted for
/// and its partner gone. False: somebody changed the entry meanwhile.
#[inline(always)]
pub(super) fn take_over<F: Family, T: Store<F>>(table: T, slot: &Slot<T::Set>, mine: Tag) -> bool {
    if !slot.set.exchange(slot.way, slot.tag, mine) {
        return false;
    }
    // The way is ours now, so this is still what the entry left.
    let gone = gone(table, slot.set, slot.way, slot.tag);
    let partner = slot.set.partner(slot.way);
    unlink_surely::<F, T>(table, slot.number, partner);
    account(table, gone);
    true
}

/// The share of a way that the caller owns in its server's load.
#[inline(always)]
fn gone<F: Family, T: Store<F>>(table: T, set: T::Set, way: u32, last: Tag) -> Share {
    let key = set.key(way);
    Share {
        server: table.server_of(&set.record(way)),
        protocol: key.protocol,
        kind: Kind::from_raw(key.kind),
        state: last.state(),
    }
}

#[inline(always)]
fn account<F: Family, T: Store<F>>(table: T, gone: Share) {
    if gone.kind != Kind::Reply {
        table.removed(gone);
    }
}

/// Removes the entry for the other direction of one whose way was taken. A connection must not be left without the
/// entry for its replies: a second look where the first one lost.
#[inline(never)]
fn unlink_surely<F: Family, T: Store<F>>(table: T, number: u32, partner: u32) {
    if !unlink::<F, T>(table, number, partner) {
        unlink::<F, T>(table, number, partner);
    }
}

/// Removes the entry for the other direction. False: a packet that another CPU is still handling changed its state
/// at this moment.
#[inline(always)]
fn unlink<F: Family, T: Store<F>>(table: T, number: u32, partner: u32) -> bool {
    let Some(partner) = by_number(table, partner) else {
        return true;
    };
    let gone = gone(table, partner.set, partner.way, partner.tag);
    // Only a partner that points back belongs to this connection: its way may have been reused.
    if partner.set.partner(partner.way) != number || !unchanged(&partner) {
        return true;
    }
    let busy = partner.tag.leaving();
    if !partner.set.exchange(partner.way, partner.tag, busy) {
        return false;
    }
    partner.set.publish(partner.way, busy.freed());
    account(table, gone);
    true
}
