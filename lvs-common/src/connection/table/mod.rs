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

mod claim;
mod find;
mod glance;
mod insert;
mod pair;
mod pin;
mod remove;

use super::{Client, Key, Loads, Record, Tag};
use crate::abi::WAYS;
use crate::family::Family;
use crate::walk::Walk;

pub use claim::Survey;
pub use find::{by_number, fetch, find, find_first, full, inserted, unchanged};
pub use insert::{Inserted, insert, insert_at_once};
pub use pair::complete_pair;
pub use pin::{pin, tie};
pub use remove::{discard, remove};

/// Half-open ways a set may hold before a new half-open connection recycles one of them.
pub const MAX_HALF_OPEN: u32 = WAYS / 2;

/// One set of the table.
pub trait Ways<F: Family>: Copy {
    /// The way's tag, read anew each time.
    fn tag(self, way: u32) -> Tag;
    /// Has every way fetched from memory for whoever needs them soon.
    fn fetch(self) {}
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
    /// Packets from the client.
    fn packets(self, way: u32) -> u32;
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
    /// Notes a packet from the client. Returns [`Ways::packets`] with it.
    fn touch(self, way: u32, now: u32, timeout: u32) -> u32;
    /// Notes a packet from the real server.
    fn touch_reply(self, way: u32, now: u32, timeout: u32);
    /// Notes where the client's packets come from now.
    fn learn(self, way: u32, client: &Client);
}

/// The table as a whole, with the loads that its entries are counted in.
pub trait Store<F: Family>: Walk + Loads {
    /// One set.
    type Set: Ways<F>;
    /// Number of sets.
    fn sets(self) -> u32;
    /// A set by its number.
    fn set(self, number: u32) -> Option<Self::Set>;
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
    /// It may not yet: see [`tie`].
    pub pinned: bool,
    /// The clock.
    pub now: u32,
    /// Ticks without a packet after which it is expired.
    pub timeout: u32,
    /// Where it may go.
    pub survey: Survey,
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
