//! The connection table: sets of eight ways, shared without locks by every CPU and the daemon.
//!
//! A key has two sets. A connection goes into the first one; when that is full, into the second,
//! after the first set's hint told every later look-up to try both. Within a set, look-ups begin at a
//! home way, so that most hits touch one cache line.
//!
//! # Races
//!
//! - *Ownership.* A way changes hands only by compare-and-exchange on its tag. Whoever moves it to
//!   busy owns it until it publishes another tag.
//! - *Readers* copy what they need and look at the tag again: when generation or fingerprint changed
//!   meanwhile, it was another connection's data and counts as a miss.
//! - *Two inserters of one key.* After claiming a way, an inserter looks at all ways again. A claim and
//!   that second look are separated by a full barrier on both sides, so of two claimers at least
//!   one sees the other's busy tag with the same fingerprint, gives its way back and tries again.
//!   The hint is set before a claim in the second set, and the second look reads it after its own
//!   claim, which extends the argument to both sets.
//! - *Removal.* Only the winner of the exchange from live to busy accounts for the connection, and
//!   it accounts for exactly the state in the tag it replaced.

use core::num::NonZeroU32;

use super::{Client, Key, Kind, Record, Tag};
use crate::abi::{WAYS, age};
use crate::family::Family;
use crate::tables::{Step, Walk};

/// Half-open ways a set may hold before a new half-open connection recycles one of them.
pub const MAX_HALF_OPEN: u32 = WAYS / 2;

/// One set of the table.
pub trait Ways<F: Family>: Copy {
    /// The way's tag, read anew each time.
    fn tag(self, way: u32) -> Tag;
    /// Replaces a tag if it still is the expected one. A full barrier.
    fn exchange(self, way: u32, expected: Tag, new: Tag) -> bool;
    /// Stores a tag over one that the caller owns (busy). A full barrier.
    fn publish(self, way: u32, tag: Tag);
    /// Whether the way holds this key.
    fn holds(self, way: u32, key: &Key<F>) -> bool;
    /// Clock tick of the last packet.
    fn seen(self, way: u32) -> u32;
    /// Ticks without a packet after which the way's connection is expired.
    fn timeout(self, way: u32) -> u32;
    /// Number (plus one) of the entry for the other direction; 0: none.
    fn partner(self, way: u32) -> u32;
    /// The way's key.
    fn key(self, way: u32) -> Key<F>;
    /// The way's record.
    fn record(self, way: u32) -> Record;
    /// Where the way's client was last heard.
    fn client(self, way: u32) -> Client;
    /// Writes everything but tag and hint into a way that the caller owns.
    fn write(self, way: u32, new: &New<F>);
    /// Whether a key of this set may live in its second set.
    fn hint(self) -> bool;
    /// Says so. A full barrier.
    fn set_hint(self);
    /// Links the way to the entry for the other direction.
    fn set_partner(self, way: u32, partner: u32);
    /// Notes a packet from the client.
    fn touch(self, way: u32, now: u32, timeout: u32);
    /// Notes a packet from the real server.
    fn touch_reply(self, way: u32, now: u32, timeout: u32);
    /// Notes where the client's packets come from now.
    fn learn(self, way: u32, client: &Client);
}

/// The table as a whole, and what its owner wants to know.
pub trait Store<F: Family>: Walk {
    /// One set.
    type Set: Ways<F>;
    /// Number of sets.
    fn sets(self) -> u32;
    /// A set by its number.
    fn set(self, number: u32) -> Option<Self::Set>;
    /// Called for each connection or template before it can be found, by whoever inserts it.
    fn entered(self, share: Share);
    /// Called exactly once for each that leaves the table, by whoever removed it.
    fn removed(self, share: Share);
}

/// What becomes an entry.
#[derive(Clone, Copy, Debug)]
pub struct New<F: Family> {
    /// What it is found by.
    pub key: Key<F>,
    /// Server, service and method.
    pub record: Record,
    /// Where the client was heard.
    pub client: Client,
    /// Number (plus one) of the entry for the other direction; 0: none yet.
    pub partner: u32,
    /// First state.
    pub state: u8,
    /// Whether it may be recycled.
    pub half_open: bool,
    /// The clock.
    pub now: u32,
    /// Ticks without a packet after which it is expired.
    pub timeout: u32,
    /// Where it may go.
    pub survey: Survey,
}

/// What accounting needs to know about an entry that comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Server index.
    pub server: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// A connection or a template, never a reply.
    pub kind: Kind,
    /// First or last state.
    pub state: u8,
}

/// The hash's secrets: drawn once when the table is made.
pub trait Secrets: Copy {
    /// One of sixteen.
    fn secret(self, index: usize) -> u64;
}

impl Secrets for &[u64; 16] {
    fn secret(self, index: usize) -> u64 {
        self.get(index).copied().unwrap_or(0)
    }
}

/// Where a key may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the first set.
    pub first: u32,
    /// Number of the second set.
    pub second: u32,
    /// The way to begin with.
    pub home: u32,
    /// In place for [`Tag`].
    pub fingerprint: u32,
}

impl Place {
    /// The place of a hash in a table of so many sets.
    #[inline(always)]
    pub const fn of(hash: u64, sets: u32) -> Self {
        let upper = hash >> 32;
        let lower = hash & 0xffff_ffff;
        Self {
            first: (upper.wrapping_mul(sets as u64) >> 32) as u32,
            second: (lower.wrapping_mul(sets as u64) >> 32) as u32,
            home: (lower as u32 >> 14) & (WAYS - 1),
            fingerprint: (lower as u32) << 18,
        }
    }
}

/// A live entry that was found.
#[derive(Clone, Copy, Debug)]
pub struct Slot<S> {
    /// Its set.
    pub set: S,
    /// Its way.
    pub way: u32,
    /// Its tag as it was found.
    pub tag: Tag,
    /// Its number from the start of the table, plus one.
    pub number: u32,
}

/// Why an insert failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Somebody else inserted the key meanwhile.
    Exists,
    /// No room.
    Full,
}

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

/// Number of an entry from the start of the table, plus one.
#[inline(always)]
const fn entry_number(set: u32, way: u32) -> u32 {
    set.wrapping_mul(WAYS).wrapping_add(way).wrapping_add(1)
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

/// Whether what was copied from a slot belonged to the connection that was found there.
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

/// What the ways of a set look like to somebody who needs one.
///
/// It is worked out in the memory of [`New`], not in registers: what a verifier reads from memory it
/// takes as unknown, instead of following every order in which eight ways may have been free.
#[derive(Clone, Copy, Debug, Default)]
pub struct Survey {
    /// Free way first in the home order: rank times 8 plus way; 0: none.
    free: u64,
    /// Way to recycle: class, age and way in one number, the largest wins; 0: none.
    victim: u64,
    /// Half-open ways.
    half_open: u32,
    /// Ways that somebody claimed for a key with the same fingerprint, as bits.
    claimed: u32,
    /// Ways that hold the key, as bits.
    live: u32,
}

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
fn claim<F: Family, T: Store<F>>(
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
    let crowded = new.half_open && found.half_open >= MAX_HALF_OPEN;
    let chosen = if found.free != 0 && !crowded {
        found.free
    } else if found.victim >= EXPIRED || recycle || crowded {
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
    // A way that was free stays its new owner's, and a live one that may hold the very key is a
    // rival's: taking either would send the two packets of one flow to two servers.
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
        settle(table, &slot, slot.set.partner(way));
    }
    Some((way, mine))
}

/// Inserts a connection that was just looked up in vain. Returns its number (plus one).
///
/// # Errors
///
/// [`Refused::Exists`] when somebody else inserted it meanwhile (look it up again),
/// [`Refused::Full`] when both sets are full of established connections, or the rival did not
/// finish in time.
#[inline(always)]
pub fn insert<F: Family, T: Store<F>>(
    table: T,
    place: Place,
    new: &mut New<F>,
) -> Result<NonZeroU32, Refused> {
    let number = insert_at(
        table,
        place.first,
        place.second,
        new,
        place.home | place.fingerprint,
    );
    NonZeroU32::new(number)
        .filter(|_| number != EXISTS)
        .ok_or(if number == EXISTS {
            Refused::Exists
        } else {
            Refused::Full
        })
}

/// A number that no entry has: the table would be four times what a map can hold.
const EXISTS: u32 = u32::MAX;

/// Result in one register: the number, 0 or [`EXISTS`].
#[inline(never)]
fn insert_at<F: Family, T: Store<F>>(
    table: T,
    first: u32,
    second: u32,
    new: &mut New<F>,
    home_and_fingerprint: u32,
) -> u32 {
    let home = home_and_fingerprint & (WAYS - 1);
    let fingerprint = home_and_fingerprint & Tag::FINGERPRINT;
    let place = Place {
        first,
        second,
        home,
        fingerprint,
    };
    let mut insertion = Insertion {
        table,
        new,
        place,
        result: 0,
    };
    table.walk(ATTEMPTS * ROUNDS, &mut insertion);
    insertion.result
}

/// Times an insertion starts again when a rival was about to insert the same key.
const ATTEMPTS: u32 = 4;
/// First set, second set, then both again with half-open connections up for recycling.
const ROUNDS: u32 = 4;

/// An insertion, one round a step.
#[repr(C, align(8))]
struct Insertion<'a, F: Family, T> {
    table: T,
    new: &'a mut New<F>,
    place: Place,
    result: u32,
}

impl<F: Family, T: Store<F>> Step for Insertion<'_, F, T> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let round = index % ROUNDS;
        let place = self.place;
        let (Some(first), Some(second)) =
            (self.table.set(place.first), self.table.set(place.second))
        else {
            return false;
        };
        if round == 1 {
            first.set_hint();
        }
        let in_first = round & 1 == 0;
        let (set, number) = if in_first {
            (first, place.first)
        } else {
            (second, place.second)
        };
        let recycle = round > 1;
        let Some((way, mine)) = claim(self.table, set, number, place, self.new, recycle) else {
            return true;
        };
        // Both sets are looked at again after the claim; our own way does not count.
        let own = 1 << (way & (WAYS - 1));
        let mut rivals = rivals(
            self.table,
            first,
            self.new,
            place,
            if in_first { own } else { 0 },
        );
        if rivals == Rivals::None && place.first != place.second && first.hint() {
            rivals = self::rivals(
                self.table,
                second,
                self.new,
                place,
                if in_first { 0 } else { own },
            );
        }
        if rivals == Rivals::None {
            set.write(way, self.new);
            let share = Share {
                server: self.new.record.server,
                protocol: self.new.key.protocol,
                kind: Kind::from_raw(self.new.key.kind),
                state: self.new.state,
            };
            if share.kind != Kind::Reply {
                self.table.entered(share);
            }
            set.publish(way, mine.live(self.new.state, self.new.half_open));
            self.result = entry_number(number, way);
            return false;
        }
        set.publish(way, mine.freed());
        if rivals == Rivals::Live {
            self.result = EXISTS;
            return false;
        }
        true
    }
}

/// Who else holds a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rivals {
    None,
    /// Somebody is about to insert a key with the same fingerprint.
    Claiming,
    /// The key is there.
    Live,
}

/// Whether a way other than our own (as a bit) holds the key, or is about to.
#[inline(always)]
fn rivals<F: Family, T: Store<F>>(
    table: T,
    set: T::Set,
    new: &mut New<F>,
    place: Place,
    own: u32,
) -> Rivals {
    new.survey.claimed = 0;
    new.survey.live = 0;
    table.walk(
        WAYS,
        &mut Lookout {
            set,
            fingerprint: place.fingerprint,
            new,
        },
    );
    if new.survey.live & !own != 0 {
        Rivals::Live
    } else if new.survey.claimed & !own != 0 {
        Rivals::Claiming
    } else {
        Rivals::None
    }
}

/// Looks for a key and claims of it, one way a step.
#[repr(C, align(8))]
struct Lookout<'a, F: Family, S> {
    set: S,
    fingerprint: u32,
    new: &'a mut New<F>,
}

impl<F: Family, S: Ways<F>> Step for Lookout<'_, F, S> {
    #[inline(always)]
    fn step(&mut self, way: u32) -> bool {
        let way = way & (WAYS - 1);
        let tag = self.set.tag(way);
        if tag.has_fingerprint(self.fingerprint) {
            if tag.is_busy() {
                self.new.survey.claimed |= 1 << way;
            } else if tag.is_live() && self.set.holds(way, &self.new.key) {
                self.new.survey.live |= 1 << way;
            }
        }
        true
    }
}

/// Whether neither set of a place has a free way.
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

/// Removes a connection, its reply entry included. False when somebody else was faster.
#[inline(always)]
pub fn remove<F: Family, T: Store<F>>(table: T, slot: &Slot<T::Set>) -> bool {
    remove_at(table, slot.number, slot.tag)
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
fn settle<F: Family, T: Store<F>>(table: T, slot: &Slot<T::Set>, partner: u32) {
    account(table, gone(slot.set, slot.way, slot.tag));
    unlink(table, slot.number, partner);
}

/// What accounting needs to know about a way that the caller owns.
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
    let busy = partner.tag.leaving();
    if partner.set.exchange(partner.way, partner.tag, busy) {
        partner.set.publish(partner.way, busy.freed());
        account(table, gone);
    }
}
