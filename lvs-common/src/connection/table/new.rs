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
    /// Number (plus one) of the entry for the other direction, 0 for none yet, or [`alone`](super::alone).
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

/// The ways of both sets of a key, as somebody sees them who needs one.
///
/// It is worked out in the memory of [`New`], not in registers: what a verifier reads from memory it
/// takes as unknown, instead of following every order in which the ways may have been found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Survey {
    /// Way to recycle in each set: class, idle time and way in one number, the largest wins; 0: none.
    pub(super) victims: [u64; 2],
    /// The same among half-open connections.
    pub(super) half_open_victims: [u64; 2],
    /// Free ways of each set.
    pub(super) free: [u32; 2],
    /// Half-open ways of each set.
    pub(super) half_open: [u32; 2],
    /// The service that holds more than its share, plus one; 0: none does.
    pub(super) crowd: u32,
    /// 1 if that is the service of the new entry, else 0.
    pub(super) confined: u32,
    /// The way to recycle among all of these, see `room.rs`.
    pub(super) chosen: u64,
    /// The way that was taken from a victim: its new tag and the number of its entry in one number, see
    /// `insert.rs`; 0: none.
    pub(super) taken: u64,
    /// Ways that somebody claimed for a key with the same fingerprint, as bits.
    pub(super) claimed: u32,
    /// Ways that hold the key, as bits.
    pub(super) live: u32,
}
