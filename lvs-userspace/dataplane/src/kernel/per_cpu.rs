//! Counters that the program keeps per CPU.

use aya::maps::{MapData, PerCpuArray};
use lvs_common::abi::{FilterStats, Stats};
use lvs_common::verdict::Reason;

use super::mapping::Mapping;
use super::wire::Wire;

/// Traffic counters, by server or service index.
///
/// The program only ever adds to them. Zeroing keeps what they showed at that moment in a map beside
/// them, so no packet that is being counted is lost and the zero survives the daemon.
pub struct Counters {
    totals: PerCpuArray<MapData, Wire<Stats>>,
    bases: Mapping<Stats>,
}

impl Counters {
    pub(super) const fn new(
        totals: PerCpuArray<MapData, Wire<Stats>>,
        bases: Mapping<Stats>,
    ) -> Self {
        Self { totals, bases }
    }

    /// Traffic since the last zeroing.
    pub fn read(&self, index: u32) -> Stats {
        let base = self.bases.read(index).unwrap_or_default();
        self.total(index).since(&base)
    }

    /// Traffic since the map was made, by CPU.
    pub fn by_cpu(&self, index: u32) -> Vec<Stats> {
        let values = self.totals.get(&index, 0);
        let values = values.iter().flat_map(|values| values.iter());
        values.map(|Wire(cpu)| *cpu).collect()
    }

    /// Starts over at zero.
    pub fn zero(&self, index: u32) {
        self.bases.write(index, self.total(index));
    }

    /// Takes traffic off, at most what was counted since the last zeroing.
    pub fn subtract(&self, index: u32, off: &Stats) {
        let base = self.bases.read(index).unwrap_or_default();
        let off = off.at_most(&self.read(index));
        self.bases.write(index, base.with(&off));
    }

    /// Traffic since the map was made, all CPUs together.
    pub fn total(&self, index: u32) -> Stats {
        let values = self.totals.get(&index, 0);
        let values = values.iter().flat_map(|values| values.iter());
        values.fold(Stats::default(), |sum, Wire(cpu)| sum.with(cpu))
    }
}

/// Refusals of filters, by service index, as [`Counters`] counts traffic.
pub struct FilterCounters {
    totals: PerCpuArray<MapData, Wire<FilterStats>>,
    bases: Mapping<FilterStats>,
}

impl FilterCounters {
    pub(super) const fn new(
        totals: PerCpuArray<MapData, Wire<FilterStats>>,
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
        let values = self.totals.get(&index, 0);
        for Wire(cpu) in values.iter().flat_map(|values| values.iter()) {
            for (count, cpu) in sum.counts.iter_mut().zip(cpu.counts) {
                *count = count.wrapping_add(cpu);
            }
        }
        sum
    }
}

/// Packets by verdict.
pub struct Verdicts(pub(super) PerCpuArray<MapData, u64>);

impl Verdicts {
    /// Packets of all CPUs that ended so.
    pub fn count(&self, reason: Reason) -> u64 {
        self.0
            .get(&u32::from(reason as u8), 0)
            .map_or(0, |values| values.iter().sum())
    }
}
