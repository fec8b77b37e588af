//! The finding about the packet at hand, for the programs' own log, and the rate of that.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Ticks of the clock in about a second, as a power of two.
const SECOND: u32 = 10;

/// A finding about the packet at hand, for the program's own log.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProgramNote {
    /// The finding ([`crate::diagnosis::Finding`]), or 0.
    pub finding: u32,
    /// The number that belongs to it.
    pub number: u32,
    /// The second in which lines were last logged.
    pub second: u32,
    /// Lines in that second.
    pub lines: u32,
    /// Lines that were left out: there were too many.
    pub lost: u64,
}

impl ProgramNote {
    /// Lines of a CPU in a second at most; of packets that are refused or handled as they should be, half as many.
    pub const LINES: u32 = 64;

    /// Returns whether one more line may be logged now, of a level that is `urgent` or not; counts those that may not.
    #[inline(always)]
    pub const fn spend(&mut self, now: u32, urgent: bool) -> bool {
        let second = now >> SECOND;
        if self.second != second {
            self.second = second;
            self.lines = 0;
        }
        let most = if urgent { Self::LINES } else { Self::LINES / 2 };
        if self.lines >= most {
            self.lost += 1;
            return false;
        }
        self.lines += 1;
        true
    }
}
