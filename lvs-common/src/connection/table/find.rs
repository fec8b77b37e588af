//! Looking a key up.

use super::place::Place;
use super::slot::{Inserted, Slot, entry_number};
use super::ways::{Store, Ways};
use crate::abi::WAYS;
use crate::connection::Key;
use crate::family::Family;

/// The live way of a set that holds the key.
#[inline(always)]
fn look<F: Family, S: Ways<F>>(set: S, number: u32, key: &Key<F>, place: Place) -> Option<Slot<S>> {
    let mut turn = 0;
    while turn < WAYS {
        let way = (place.home ^ turn) & (WAYS - 1);
        let tag = set.tag(way);
        if tag.has_fingerprint(place.fingerprint) && tag.is_live() && set.holds(way, key) {
            return Some(Slot {
                set,
                way,
                tag,
                number: entry_number(number, way),
            });
        }
        turn += 1;
    }
    None
}

/// Finds a key in its first set, where nearly all are. The caller copies the entry and then asks
/// [`unchanged`].
#[inline(always)]
pub fn find_first<F: Family, T: Store<F>>(
    table: T,
    key: &Key<F>,
    place: Place,
) -> Option<Slot<T::Set>> {
    look(table.set(place.first)?, place.first, key, place)
}

/// Finds a key. The caller copies the entry and then asks [`unchanged`].
#[inline(always)]
pub fn find<F: Family, T: Store<F>>(table: T, key: &Key<F>, place: Place) -> Option<Slot<T::Set>> {
    let first = table.set(place.first)?;
    if let Some(slot) = look(first, place.first, key, place) {
        return Some(slot);
    }
    if !first.hint() {
        return None;
    }
    look(table.set(place.second)?, place.second, key, place)
}

/// Has a key's first set fetched from memory for whoever needs it soon.
#[inline(always)]
pub fn fetch<F: Family, T: Store<F>>(table: T, place: Place) {
    if let Some(set) = table.set(place.first) {
        set.fetch();
    }
}

/// Returns whether a slot still holds the connection that was found there, so that what was copied is its.
#[inline(always)]
pub fn unchanged<F: Family, S: Ways<F>>(slot: &Slot<S>) -> bool {
    let tag = slot.set.tag(slot.way);
    tag.is_live() && tag.same_connection(slot.tag)
}

/// The entry with that number (plus one), if it is live.
#[inline(always)]
pub fn by_number<F: Family, T: Store<F>>(table: T, number: u32) -> Option<Slot<T::Set>> {
    let index = number.checked_sub(1)?;
    let (set_number, way) = (index / WAYS, index & (WAYS - 1));
    let set = table.set(set_number)?;
    let tag = set.tag(way);
    tag.is_live().then_some(Slot {
        set,
        way,
        tag,
        number,
    })
}

/// The slot of an entry that was just inserted, whatever lives there now: see [`unchanged`].
#[inline(always)]
pub fn inserted<F: Family, T: Store<F>>(table: T, entry: Inserted) -> Option<Slot<T::Set>> {
    let Inserted { number, tag } = entry;
    let index = number.checked_sub(1)?;
    Some(Slot {
        set: table.set(index / WAYS)?,
        way: index & (WAYS - 1),
        tag,
        number,
    })
}

/// Returns whether somebody is about to insert the key of a place, or one with the same fingerprint. No branch by way:
/// a verifier follows one path.
#[inline(always)]
pub fn is_claimed<F: Family, T: Store<F>>(table: T, place: Place) -> bool {
    let claims = |number| {
        table.set(number).map_or(0, |set| {
            let (mut way, mut claims) = (0, 0);
            while way < WAYS {
                claims |= set.tag(way).claims(place.fingerprint);
                way += 1;
            }
            claims
        })
    };
    claims(place.first) | claims(place.second) != 0
}

/// Returns whether neither set of a place has a free way.
#[inline(always)]
pub fn full<F: Family, T: Store<F>>(table: T, place: Place) -> bool {
    let none_free = |number| {
        table.set(number).is_some_and(|set| {
            let mut way = 0;
            while way < WAYS && !set.tag(way).is_free() {
                way += 1;
            }
            way == WAYS
        })
    };
    none_free(place.first) && none_free(place.second)
}
