//! Insertion: claim a way, look whether somebody else has the key or is about to, write, publish.

use super::glance::Glance;
use super::new::New;
use super::place::{Place, set_at};
use super::room;
use super::slot::{Inserted, Refused, entry_number};
use super::ways::{Store, Ways};
use crate::abi::WAYS;
use crate::connection::{Kind, MAX_HALF_OPEN, Share, Tag};
use crate::family::Family;
use crate::walk::Step;

/// Inserts a connection that was just looked up in vain.
///
/// # Errors
///
/// [`Refused::Exists`] when somebody else inserted it meanwhile (look it up again),
/// [`Refused::Full`] when both sets are full of proven connections, or hold none to recycle of a service that has
/// more than its share, or the other inserter did not finish in time.
#[inline(always)]
pub fn insert<F: Family, T: Store<F>>(
    table: T,
    place: Place,
    new: &mut New<F>,
) -> Result<Inserted, Refused> {
    if let Some(inserted) = insert_at_once::<F, T>(table, place, new) {
        return Ok(inserted);
    }
    insert_anywhere::<F, T>(table, place, new)
}

/// [`insert`] after [`insert_at_once`] did not.
///
/// # Errors
///
/// As of [`insert`].
#[inline(always)]
pub fn insert_anywhere<F: Family, T: Store<F>>(
    table: T,
    place: Place,
    new: &mut New<F>,
) -> Result<Inserted, Refused> {
    let Place { first, second, .. } = place;
    if !room::make::<F, T>(table, first, second, place.fingerprint, new) {
        return Err(Refused::Full);
    }
    match insert_somewhere(table, first, second, new, place.home | place.fingerprint) {
        FULL => Err(Refused::Full),
        EXISTS => Err(Refused::Exists),
        result => Ok(inserted(result)),
    }
}

/// Inserts a connection into a free way of its first set, if nothing stands against it at a glance: the key
/// was not in the table then. Nearly every insertion ends here. `None`: look closer.
#[inline(always)]
pub fn insert_at_once<F: Family, T: Store<F>>(
    table: T,
    place: Place,
    new: &New<F>,
) -> Option<Inserted> {
    match at_once(table, place.first, place.home | place.fingerprint, new) {
        FULL => None,
        result => Some(inserted(result)),
    }
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is the number"
)]
const fn inserted(result: u64) -> Inserted {
    Inserted {
        number: result as u32,
        tag: Tag((result >> 32) as u32),
    }
}

/// Results that are no entry: its tag would be that of a free way.
const FULL: u64 = 0;
/// See [`FULL`].
const EXISTS: u64 = 1;

/// Result in one register: the published tag and the number, or [`FULL`].
#[inline(never)]
fn at_once<F: Family, T: Store<F>>(
    table: T,
    first: u32,
    home_and_fingerprint: u32,
    new: &New<F>,
) -> u64 {
    // Who holds more than its share is looked at closer.
    let crowd = table.crowd().service;
    if crowd != 0 && crowd == table.service_of(&new.record).wrapping_add(1) {
        return FULL;
    }
    let Some(set) = table.set(first) else {
        return FULL;
    };
    let home = home_and_fingerprint & (WAYS - 1);
    let fingerprint = home_and_fingerprint & Tag::FINGERPRINT;
    let glance = Glance::at(set);
    let capped = new.half_open && glance.half_open() >= MAX_HALF_OPEN;
    if glance.free() == 0 || glance.alike(fingerprint) != 0 || capped {
        return FULL;
    }
    let way = glance.nearest(home) & (WAYS - 1);
    let free = set.tag(way);
    let mine = free.claimed(fingerprint);
    if !free.is_free() || !set.exchange(way, free, mine) {
        return FULL;
    }
    // The second look: nobody has the fingerprint but we ourselves, and the second set is not in use.
    if Glance::at(set).alike(fingerprint) != 1 || set.hint() {
        set.publish(way, mine.freed());
        return FULL;
    }
    complete(table, set, first, way, mine, new)
}

/// Inserts wherever there is room in both sets. Result in one register as above, or [`EXISTS`].
#[inline(never)]
fn insert_somewhere<F: Family, T: Store<F>>(
    table: T,
    first: u32,
    second: u32,
    new: &mut New<F>,
    home_and_fingerprint: u32,
) -> u64 {
    let mut insertion = Insertion {
        table,
        new,
        place: Place {
            first,
            second,
            home: home_and_fingerprint & (WAYS - 1),
            fingerprint: home_and_fingerprint & Tag::FINGERPRINT,
        },
        result: FULL,
    };
    table.walk(ATTEMPTS * ROUNDS, &mut insertion);
    insertion.result
}

/// Writes an entry into a way that was claimed for it, and publishes it. Returns the result.
#[inline(always)]
fn complete<F: Family, T: Store<F>>(
    table: T,
    set: T::Set,
    number: u32,
    way: u32,
    mine: Tag,
    new: &New<F>,
) -> u64 {
    set.write(way, new);
    let share = Share {
        server: table.server_of(&new.record),
        protocol: new.key.protocol,
        kind: Kind::from_raw(new.key.kind),
        state: new.state,
    };
    if share.kind != Kind::Reply {
        table.entered(share);
    }
    let recyclable = new.half_open && !new.pinned;
    let live = mine.live(new.state, recyclable);
    set.publish(way, live);
    u64::from(live.0) << 32 | u64::from(entry_number(number, way))
}

/// Times an insertion starts again when another CPU was about to insert the same key.
const ATTEMPTS: u32 = 16;
/// First set, then the second.
const ROUNDS: u32 = 2;

/// An insertion, one round a step.
#[repr(C, align(8))]
struct Insertion<'a, F: Family, T> {
    table: T,
    new: &'a mut New<F>,
    place: Place,
    result: u64,
}

impl<F: Family, T: Store<F>> Step for Insertion<'_, F, T> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let place = self.place;
        let (Some(first), Some(second)) =
            (self.table.set(place.first), self.table.set(place.second))
        else {
            return false;
        };
        // The way that was taken from another entry, once.
        let taken = core::mem::take(&mut self.new.survey.taken);
        let entry = (taken & 0xffff_ffff) as u32;
        let in_first = match entry.checked_sub(1) {
            Some(entry) => entry / WAYS == place.first,
            None => index.is_multiple_of(ROUNDS),
        };
        if !in_first {
            first.set_hint();
        }
        let (set, number) = if in_first {
            (first, place.first)
        } else {
            (second, place.second)
        };
        let (way, mine) = if entry != 0 {
            (
                entry.wrapping_sub(1) & (WAYS - 1),
                Tag((taken >> 32) as u32),
            )
        } else if let Some(claimed) = claim(set, place) {
            claimed
        } else {
            return true;
        };
        // Both sets are looked at again after the claim, if the second one is in use; our own way does not count.
        let ways = if place.first != place.second && first.hint() {
            2 * WAYS
        } else {
            WAYS
        };
        let own = if in_first { way } else { way | WAYS };
        let others = others(self.table, place, ways, self.new, 1 << (own & 15));
        if others == Others::None {
            self.result = complete(self.table, set, number, way, mine, self.new);
            return false;
        }
        set.publish(way, mine.freed());
        if others == Others::Live {
            self.result = EXISTS;
            return false;
        }
        true
    }
}

/// Claims a free way of a set.
#[inline(always)]
fn claim<F: Family, S: Ways<F>>(set: S, place: Place) -> Option<(u32, Tag)> {
    let glance = Glance::at(set);
    if glance.free() == 0 {
        return None;
    }
    let way = glance.nearest(place.home) & (WAYS - 1);
    let free = set.tag(way);
    let mine = free.claimed(place.fingerprint);
    // A way that is not free any more is its new owner's.
    (free.is_free() && set.exchange(way, free, mine)).then_some((way, mine))
}

/// Others that hold a key, or are about to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    None,
    /// Somebody is about to insert a key with the same fingerprint.
    Claiming,
    /// The key is there.
    Live,
}

/// Returns whether a way other than our own (as a bit), of so many of the ways of both sets, holds the key, or is
/// about to.
#[inline(always)]
fn others<F: Family, T: Store<F>>(
    table: T,
    place: Place,
    ways: u32,
    new: &mut New<F>,
    own: u32,
) -> Others {
    new.survey.claimed = 0;
    new.survey.live = 0;
    table.walk(
        ways,
        &mut Lookout {
            table,
            first: place.first,
            second: place.second,
            fingerprint: place.fingerprint,
            new,
        },
    );
    if new.survey.live & !own != 0 {
        Others::Live
    } else if new.survey.claimed & !own != 0 {
        Others::Claiming
    } else {
        Others::None
    }
}

/// Looks for a key and claims of it, one way of both sets a step.
#[repr(C, align(8))]
struct Lookout<'a, F: Family, T> {
    table: T,
    first: u32,
    second: u32,
    fingerprint: u32,
    new: &'a mut New<F>,
}

impl<F: Family, T: Store<F>> Step for Lookout<'_, F, T> {
    #[inline(always)]
    fn step(&mut self, turn: u32) -> bool {
        let Some(set) = self.table.set(set_at(self.first, self.second, turn)) else {
            return false;
        };
        let way = turn & (WAYS - 1);
        let tag = set.tag(way);
        if tag.has_fingerprint(self.fingerprint) {
            let bit = 1 << (turn & 15);
            if tag.is_busy() {
                self.new.survey.claimed |= bit;
            } else if tag.is_live() && set.holds(way, &self.new.key) {
                self.new.survey.live |= bit;
            }
        }
        true
    }
}
