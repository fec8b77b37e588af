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
    let gone = gone(slot.set, slot.way, expected);
    slot.set.publish(slot.way, busy.freed());
    account(table, gone);
    unlink(table, slot.number, partner);
    true
}

/// Accounts for a connection whose way the caller has just taken over, and takes its partner along.
#[inline(always)]
pub(super) fn account_removed<F: Family, T: Store<F>>(table: T, slot: &Slot<T::Set>, partner: u32) {
    account(table, gone(slot.set, slot.way, slot.tag));
    unlink(table, slot.number, partner);
}

/// The share of a way that the caller owns in its server's load.
#[inline(always)]
fn gone<F: Family, S: Ways<F>>(set: S, way: u32, last: Tag) -> Share {
    let key = set.key(way);
    let server = set.record(way).server;
    Share {
        server,
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

/// Removes the entry for the other direction.
#[inline(always)]
fn unlink<F: Family, T: Store<F>>(table: T, number: u32, partner: u32) {
    let Some(partner) = by_number(table, partner) else {
        return;
    };
    let gone = gone(partner.set, partner.way, partner.tag);
    // Only a partner that points back belongs to this connection: its way may have been reused.
    if partner.set.partner(partner.way) != number || !unchanged(&partner) {
        return;
    }
    // A packet that another CPU is still handling may change its state at this moment. Then it is left
    // without a connection, and to the sweep.
    let busy = partner.tag.leaving();
    if partner.set.exchange(partner.way, partner.tag, busy) {
        partner.set.publish(partner.way, busy.freed());
        account(table, gone);
    }
}
