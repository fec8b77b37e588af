//! Live connections, by their keys.

use core::marker::PhantomData;

use super::work::Work;
use crate::abi::age;
use crate::connection::table::{self, Place, Slot, Store, Ways};
use crate::connection::{Key, Kind, Record};
use crate::family::Family;
use crate::tables::Tables;

/// A connection that was found.
#[derive(Clone, Copy, Debug)]
pub struct Connection<F: Family, S> {
    /// Its place in the table.
    pub slot: Slot<S>,
    /// Its server, service and method.
    pub record: Record,
    family: PhantomData<F>,
}

impl<F: Family, S: Ways<F>> Connection<F, S> {
    #[inline(always)]
    const fn new(slot: Slot<S>, record: Record) -> Self {
        Self {
            slot,
            record,
            family: PhantomData,
        }
    }

    /// The key of its client's packets.
    #[inline(always)]
    pub fn key(&self) -> Key<F> {
        self.slot.set.key(self.slot.way)
    }
}

/// Finds a live connection; an expired one is removed and counts as a miss.
#[inline(always)]
pub fn find<F: Family, T: Tables + Store<F>>(
    tables: T,
    key: &Key<F>,
    now: u32,
) -> Option<Connection<F, <T as Store<F>>::Set>> {
    let place = Place::of(key.hash(tables), Store::<F>::sets(tables));
    find_at(tables, key, place, now)
}

#[inline(always)]
pub(super) fn find_at<F: Family, T: Tables + Store<F>>(
    tables: T,
    key: &Key<F>,
    place: Place,
    now: u32,
) -> Option<Connection<F, <T as Store<F>>::Set>> {
    let slot = table::find::<F, T>(tables, key, place)?;
    let record = slot.set.record(slot.way);
    // A reply entry lives as long as its connection, which `client` checks.
    let expired = key.kind != Kind::Reply as u8 && is_expired(&slot, now);
    if !table::unchanged(&slot) {
        return None;
    }
    if expired {
        table::remove::<F, T>(tables, &slot);
        return None;
    }
    Some(Connection::new(slot, record))
}

/// The connection that an earlier stage found for this packet: `number` says where it is.
#[inline(always)]
pub(super) fn again<F: Family, T: Tables + Store<F>>(
    tables: T,
    work: &Work<F>,
) -> Option<Connection<F, <T as Store<F>>::Set>> {
    let slot = table::by_number::<F, T>(tables, work.number)?;
    let record = slot.set.record(slot.way);
    let same = slot.set.holds(slot.way, &work.key) && table::unchanged(&slot);
    same.then_some(Connection::new(slot, record))
}

/// The connection that a reply entry belongs to.
#[inline(always)]
pub fn client<F: Family, T: Tables + Store<F>>(
    tables: T,
    reply: &Connection<F, <T as Store<F>>::Set>,
    now: u32,
) -> Option<Connection<F, <T as Store<F>>::Set>> {
    let slot = table::by_number::<F, T>(tables, reply.slot.set.partner(reply.slot.way))?;
    let record = slot.set.record(slot.way);
    let alive = slot.set.partner(slot.way) == reply.slot.number
        && !is_expired(&slot, now)
        && table::unchanged(&slot)
        && table::unchanged(&reply.slot);
    alive.then_some(Connection::new(slot, record))
}

#[inline(always)]
pub(super) fn is_expired<F: Family, S: Ways<F>>(slot: &Slot<S>, now: u32) -> bool {
    age(now, slot.set.seen(slot.way)) > slot.set.timeout(slot.way)
}
