//! Entries that were found or inserted.

use crate::abi::WAYS;
use crate::connection::Tag;

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

/// The reason why an insertion failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Somebody else inserted the key meanwhile.
    Exists,
    /// No room.
    Full,
}

/// An entry that was just inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// Its number from the start of the table, plus one.
    pub number: u32,
    /// Its tag as it was published.
    pub tag: Tag,
}

impl Inserted {
    /// No entry: numbers begin at one.
    pub const NONE: Self = Self {
        number: 0,
        tag: Tag(0),
    };
}

/// Number of an entry from the start of the table, plus one.
#[inline(always)]
pub(super) const fn entry_number(set: u32, way: u32) -> u32 {
    set.wrapping_mul(WAYS).wrapping_add(way).wrapping_add(1)
}
