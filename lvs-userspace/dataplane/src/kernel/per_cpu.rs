//! Counters that the program keeps per CPU.

use aya::maps::{MapData, PerCpuArray};
use lvs_common::abi::Stats;
use lvs_common::verdict::Reason;

use super::{Mapping, Wire};

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

    /// What was counted since the last zeroing.
    pub fn read(&self, index: u32) -> Stats {
        let total = self.total(index);
        let base = self.bases.read(index).unwrap_or_default();
        Stats {
            connections: total.connections.wrapping_sub(base.connections),
            in_packets: total.in_packets.wrapping_sub(base.in_packets),
            out_packets: total.out_packets.wrapping_sub(base.out_packets),
            in_bytes: total.in_bytes.wrapping_sub(base.in_bytes),
            out_bytes: total.out_bytes.wrapping_sub(base.out_bytes),
        }
    }

    /// Starts over at zero.
    pub fn zero(&self, index: u32) {
        self.bases.write(index, self.total(index));
    }

    /// What was counted since the map was made, all CPUs together.
    pub fn total(&self, index: u32) -> Stats {
        let Ok(values) = self.totals.get(&index, 0) else {
            return Stats::default();
        };
        values
            .iter()
            .fold(Stats::default(), |sum, Wire(cpu)| Stats {
                connections: sum.connections.wrapping_add(cpu.connections),
                in_packets: sum.in_packets.wrapping_add(cpu.in_packets),
                out_packets: sum.out_packets.wrapping_add(cpu.out_packets),
                in_bytes: sum.in_bytes.wrapping_add(cpu.in_bytes),
                out_bytes: sum.out_bytes.wrapping_add(cpu.out_bytes),
            })
    }
}

/// How many packets ended for each reason.
pub struct Verdicts(pub(super) PerCpuArray<MapData, u64>);

impl Verdicts {
    /// Packets of all CPUs that ended so.
    pub fn count(&self, reason: Reason) -> u64 {
        self.0
            .get(&u32::from(reason as u8), 0)
            .map_or(0, |values| values.iter().sum())
    }
}
