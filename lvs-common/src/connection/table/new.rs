//! Entries to be.

use crate::connection::{Client, Key, Record};
use crate::family::Family;

/// An entry to be, and the memory that its insertion works in.
#[derive(Clone, Copy, Debug)]
pub struct New<F: Family> {
    /// Its key.
    pub key: Key<F>,
    /// Server, service and method.
    pub record: Record,
    /// The way to the client.
    pub client: Client,
    /// Number (plus one) of the entry for the other direction; 0: none yet.
    pub partner: u32,
    /// First state.
    pub state: u8,
    /// True if it may be recycled.
    pub half_open: bool,
    /// It may not yet: see [`tie`].
    pub pinned: bool,
    /// The clock.
    pub now: u32,
    /// Ticks without a packet after which it is expired.
    pub timeout: u32,
    /// The ways it may take.
    pub survey: Survey,
}

/// The ways of a set, as somebody sees them who needs one.
///
/// It is worked out in the memory of [`New`], not in registers: what a verifier reads from memory it
/// takes as unknown, instead of following every order in which eight ways may have been free.
#[derive(Clone, Copy, Debug, Default)]
pub struct Survey {
    /// Free way first in the home order: rank times 8 plus way; 0: none.
    pub(super) free: u64,
    /// Way to recycle: class, age and way in one number, the largest wins; 0: none.
    pub(super) victim: u64,
    /// Half-open ways.
    pub(super) half_open: u32,
    /// Ways that somebody claimed for a key with the same fingerprint, as bits.
    pub(super) claimed: u32,
    /// Ways that hold the key, as bits.
    pub(super) live: u32,
}
