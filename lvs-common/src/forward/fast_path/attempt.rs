//! Results of the fast path.

use crate::verdict::Verdict;

/// The end of a packet on the fast path, in one register: its verdict, if it has one. Without one nothing
/// was changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::forward) struct Attempt(u64);

impl Attempt {
    /// No verdict: the packet is left to the stages.
    pub(in crate::forward) const LEFT: Self = Self(0);
    /// No verdict yet: it may be the first one of a connection, see `new_connection.rs`.
    pub(in crate::forward) const NEW_CONNECTION: Self = Self(1);

    #[inline(always)]
    pub(in crate::forward) const fn of(verdict: Verdict) -> Self {
        Self(verdict.to_bits())
    }

    #[inline(always)]
    pub(in crate::forward) const fn verdict(self) -> Option<Verdict> {
        if self.0 == Self::NEW_CONNECTION.0 {
            return None;
        }
        Verdict::from_bits(self.0)
    }
}
