//! Counters that the program keeps per CPU.

use lvs_common::abi::{FilterStats, Stats};
use lvs_common::verdict::Reason;

use super::mapping::Mapping;
use super::per_cpu_values::PerCpuValues;

/// Traffic counters, by server or service index.
///
/// The program only ever adds to them. Zeroing keeps what they showed at that moment in a map beside
/// them, so no packet that is being counted is lost and the zero survives the daemon.
pub struct Counters {
    totals: PerCpuValues<Stats>,
    bases: Mapping<Stats>,
}

impl Counters {
    pub(super) const fn new(totals: PerCpuValues<Stats>, bases: Mapping<Stats>) -> Self {
        Self { totals, bases }
    }

    /// Traffic since the last zeroing.
    pub fn read(&self, index: u32) -> Stats {
        let mut traffic = Stats::default();
        self.read_many([index], |_, stats| traffic = stats);
        traffic
    }

    /// Traffic since the last zeroing at many indexes, which are in order.
    pub fn read_many(
        &self,
        indexes: impl IntoIterator<Item = u32>,
        mut take: impl FnMut(u32, Stats),
    ) {
        self.totals(indexes, |index, total| {
            let base = self.bases.read(index).unwrap_or_default();
            take(index, total.since(&base));
        });
    }

    /// Traffic since the map was made, by CPU, at many indexes, which are in order.
    pub fn by_cpu(&self, indexes: impl IntoIterator<Item = u32>, mut take: impl FnMut(&[Stats])) {
        self.totals.read(indexes, |_, cpus| take(cpus));
    }

    /// Starts over at zero at many indexes, which are in order.
    pub fn zero(&self, indexes: impl IntoIterator<Item = u32>) {
        self.totals(indexes, |index, total| self.bases.write(index, total));
    }

    /// Takes traffic off, at most what was counted since the last zeroing.
    pub fn subtract(&self, index: u32, off: &Stats) {
        let base = self.bases.read(index).unwrap_or_default();
        let off = off.at_most(&self.read(index));
        self.bases.write(index, base.with(&off));
    }

    /// Traffic since the map was made, all CPUs together, at many indexes, which are in order.
    pub fn totals(&self, indexes: impl IntoIterator<Item = u32>, mut take: impl FnMut(u32, Stats)) {
        self.totals.read(indexes, |index, cpus| {
            let sum = cpus.iter().fold(Stats::default(), |sum, cpu| sum.with(cpu));
            take(index, sum);
        });
    }
}

/// Refusals of filters, by service index, as [`Counters`] counts traffic.
pub struct FilterCounters {
    totals: PerCpuValues<FilterStats>,
    bases: Mapping<FilterStats>,
}

impl FilterCounters {
    pub(super) const fn new(
        totals: PerCpuValues<FilterStats>,
        bases: Mapping<FilterStats>,
    ) -> Self {
        Self { totals, bases }
    }

    /// Counts since the last zeroing.
    pub fn read(&self, index: u32) -> FilterStats {
        let base = self.bases.read(index).unwrap_or_default();
        let mut stats = self.total(index);
        for (count, base) in stats.counts.iter_mut().zip(base.counts) {
            *count = count.wrapping_sub(base);
        }
        stats
    }

    /// Starts over at zero.
    pub fn zero(&self, index: u32) {
        self.bases.write(index, self.total(index));
    }

    fn total(&self, index: u32) -> FilterStats {
        let mut sum = FilterStats::default();
        for cpu in self.totals.at(index) {
            for (count, cpu) in sum.counts.iter_mut().zip(cpu.counts) {
                *count = count.wrapping_add(cpu);
            }
        }
        sum
    }
}

/// Packets by verdict.
pub struct Verdicts(pub(super) PerCpuValues<u64>);

impl Verdicts {
    /// Packets of all CPUs that ended so.
    pub fn count(&self, reason: Reason) -> u64 {
        self.0.at(u32::from(reason as u8)).iter().sum()
    }

    /// Packets of all CPUs by the number of their [`Reason`].
    pub fn counts(&self) -> [u64; Reason::ALL.len()] {
        let mut counts = [0; Reason::ALL.len()];
        let numbers = Reason::ALL.iter().map(|&reason| u32::from(reason as u8));
        self.0.read(numbers, |number, cpus| {
            counts[number as usize] = cpus.iter().sum();
        });
        counts
    }
}
