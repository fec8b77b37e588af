//! The choice of a way for a new entry, and the claim on it.

use super::new::{New, Survey};
use super::place::Place;
use super::remove::account_removed;
use super::slot::{Slot, entry_number};
use super::ways::{Store, Ways};
use crate::abi::{WAYS, age};
use crate::connection::{MAX_HALF_OPEN, Tag};
use crate::family::Family;
use crate::walk::Step;

/// Class of a victim that is expired.
const EXPIRED: u64 = 2 << 40;
/// Class of a victim that is half-open.
const HALF_OPEN: u64 = 1 << 40;

/// Looks at all ways of a set, one a step.
#[repr(C, align(8))]
struct Surveyor<'a, F: Family, S> {
    set: S,
    home: u32,
    new: &'a mut New<F>,
}

impl<F: Family, S: Ways<F>> Step for Surveyor<'_, F, S> {
    #[inline(always)]
    fn step(&mut self, turn: u32) -> bool {
        let set = self.set;
        let way = (self.home ^ turn) & (WAYS - 1);
        let tag = set.tag(way);
        let found = &mut self.new.survey;
        if tag.is_free() {
            let rank = WAYS.wrapping_sub(turn) & 15;
            found.free = found.free.max(u64::from((rank << 3) | way));
        } else if tag.is_live() {
            let age = age(self.new.now, set.seen(way));
            let ranked = (u64::from(age) << 3) | u64::from(way);
            if age > set.timeout(way) {
                found.victim = found.victim.max(EXPIRED | ranked);
            } else if tag.is_half_open() {
                found.half_open += 1;
                found.victim = found.victim.max(HALF_OPEN | ranked);
            }
        }
        true
    }
}

/// Claims a way of a set: a free one while half-open connections are few, else the victim's.
#[inline(always)]
pub(super) fn claim<F: Family, T: Store<F>>(
    table: T,
    set: T::Set,
    number: u32,
    place: Place,
    new: &mut New<F>,
    recycle: bool,
) -> Option<(u32, Tag)> {
    let now = new.now;
    new.survey = Survey::default();
    table.walk(
        WAYS,
        &mut Surveyor {
            set,
            home: place.home,
            new,
        },
    );
    let found = &new.survey;
    let capped = new.half_open && found.half_open >= MAX_HALF_OPEN;
    let chosen = if found.free != 0 && !capped {
        found.free
    } else if found.victim >= EXPIRED || recycle || capped {
        found.victim
    } else {
        0
    };
    if chosen == 0 {
        return None;
    }
    let way = (chosen & 7) as u32;
    // The survey is a moment old: what may be taken is judged by the very tag that is exchanged, so
    // that a connection that was established meanwhile stays.
    let before = set.tag(way);
    let expired = age(now, set.seen(way)) > set.timeout(way);
    // A way that was free stays its new owner's, and a live one that may hold the very key is
    // another inserter's: taking either would send the two packets of one flow to two servers.
    let recyclable = chosen >= HALF_OPEN
        && before.is_live()
        && !before.has_fingerprint(place.fingerprint)
        && (before.is_half_open() || expired);
    let takeable = before.is_free() || recyclable;
    let mine = before.claimed(place.fingerprint);
    if !takeable || !set.exchange(way, before, mine) {
        return None;
    }
    if before.is_live() {
        // The way is ours now, so this is still what the previous connection left.
        let slot = Slot {
            set,
            way,
            tag: before,
            number: entry_number(number, way),
        };
        account_removed(table, &slot, slot.set.partner(way));
    }
    Some((way, mine))
}
