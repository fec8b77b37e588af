//! Places of keys in the table.

use crate::abi::WAYS;

/// The two sets of a key, and the way to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the first set.
    pub first: u32,
    /// Number of the second set.
    pub second: u32,
    /// The way to begin with.
    pub home: u32,
    /// In place for [`crate::connection::Tag`].
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

/// The number of the set of a turn that goes through both sets of a key. Without a branch: a verifier follows one
/// path.
#[inline(always)]
pub(super) const fn set_at(first: u32, second: u32, turn: u32) -> u32 {
    let in_second = (turn / WAYS) & 1;
    first ^ ((first ^ second) & in_second.wrapping_neg())
}
