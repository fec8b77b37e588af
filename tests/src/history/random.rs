//! Random numbers of a seed, the same on every machine and with every version of the libraries.

use rand_core::{Rng as _, SeedableRng as _};
use rand_xorshift::XorShiftRng;

/// A source of random numbers.
pub(super) struct Random(XorShiftRng);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(XorShiftRng::seed_from_u64(seed))
    }

    /// A number below the limit; 0 if that is 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(0);
        let scaled = u64::from(self.0.next_u32()).wrapping_mul(limit) >> 32;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// A number from the first to the last.
    pub(super) fn between(&mut self, first: u32, last: u32) -> u32 {
        let count = usize::try_from(last - first + 1).unwrap_or(1);
        first + u32::try_from(self.below(count)).unwrap_or(0)
    }

    /// True so many times of a hundred.
    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of some; there has to be one.
    pub(super) fn pick<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        &some[self.below(some.len())]
    }
}
