//! Replication: the connections that other directors get to know, and the events that say so.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// When a connection is replicated, beside its changes of state (`net.ipv4.vs.sync_threshold`
/// of IPVS).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Sync {
    /// Not 0: connections are replicated.
    pub on: u32,
    /// At this packet from its client, and again after each so many more:
    pub threshold: u32,
    /// the largest 64-bit number divided by how many, see [`Sync::every`]; 0: once.
    pub repeats: u64,
}

impl Sync {
    /// For `repeats`: after each so many packets; 0: once.
    pub const fn every(period: u32) -> u64 {
        match period {
            0 => 0,
            period => u64::MAX / period as u64,
        }
    }

    /// The number that [`Sync::every`] was given.
    #[expect(clippy::cast_possible_truncation, reason = "it was 32 bits wide")]
    pub const fn period(repeats: u64) -> u32 {
        match repeats {
            0 => 0,
            // The quotient is rounded down, so that this one is exact (its divisor is at most 32 bits wide).
            repeats => (u64::MAX / repeats) as u32,
        }
    }

    /// Returns whether there is an event at this packet.
    #[inline(always)]
    pub const fn is_due(&self, packets: u32) -> bool {
        packets != 0 && packets >= self.threshold && self.may_be_due(packets)
    }

    /// Returns whether there may be an event at this packet: from the threshold on, [`Sync::is_due`] says the same.
    ///
    /// Each packet of a known connection asks, and a division takes as long as the rest of what is done for
    /// it. A multiplication tells whether a 32-bit number is divisible by one that is known beforehand (Lemire,
    /// Kaser and Kurz, "Faster remainder by direct computation", 2019).
    #[inline(always)]
    pub const fn may_be_due(&self, packets: u32) -> bool {
        let beyond = packets.wrapping_sub(self.threshold) as u64;
        beyond.wrapping_mul(self.repeats.wrapping_add(1)) <= self.repeats
    }
}

/// Bytes of the ring buffer: 65,536 events.
pub const EVENTS_BYTES: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::Sync;

    #[test]
    fn a_period_is_found_again() {
        for period in (0..100_000).chain(u32::MAX - 1_000..=u32::MAX) {
            assert_eq!(Sync::period(Sync::every(period)), period);
        }
    }
}
