//! The limit of ICMP errors that the director sends.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Ticks after which the whole rate may be sent again: about a second.
const REFILL: u32 = 1 << 10;

/// A CPU's errors left of the present second.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IcmpBudget {
    /// Tick of the last refill.
    pub filled: u32,
    /// Errors that may be sent at once.
    pub tokens: u32,
}

impl IcmpBudget {
    /// Spends a token for one error, of `rate` a second. False: there is none left.
    #[inline(always)]
    pub fn spend(&mut self, now: u32, rate: impl FnOnce() -> u32) -> bool {
        if now.wrapping_sub(self.filled) >= REFILL {
            self.filled = now;
            self.tokens = rate();
        }
        if self.tokens == 0 {
            return false;
        }
        self.tokens -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{IcmpBudget, REFILL};

    #[test]
    fn each_second_brings_as_many_errors_as_the_rate_allows() {
        let start = u32::MAX - 10;
        let mut budget = IcmpBudget::default();
        for second in 0..3 {
            let now = start.wrapping_add(second * REFILL);
            let spent = (0..9).filter(|_| budget.spend(now, || 5)).count();
            assert_eq!(spent, 5);
            assert!(!budget.spend(now.wrapping_add(REFILL - 1), || 5));
        }
        assert!(!budget.spend(start.wrapping_add(3 * REFILL), || 0));
    }
}
