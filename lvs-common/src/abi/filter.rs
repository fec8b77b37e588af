//! Filters of virtual services: who may begin connections, and how many.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::address::Address;
use super::clock::TICK_SHIFT;

/// A filter: immutable once a plan refers to it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Filter {
    /// The first of its elements in [`super::FILTER_NODES`]: 2 to the power of `root_bits` nodes, which the first
    /// bits of an address choose from.
    pub root: u32,
    /// Elements in all: nodes, and behind them what the daemon keeps.
    pub elements: u32,
    /// The last so many elements are the daemon's: the lists as the operator wrote them.
    pub kept: u32,
    /// Bits of an address that choose the first node; 2 and 6 n more, so that nodes end where addresses do.
    pub root_bits: u32,
    /// Bits of [`Filter`]: `LISTS` and the like.
    pub flags: u32,
    /// Connections that a client may have open at once, if `OPEN` is set.
    pub connections: u32,
    /// The bits of an address that tell clients apart, as two words of the bytes in network order.
    pub mask: [u64; 2],
    /// New connections of a client, if `OPENING` is set.
    pub opening: Pace,
    /// Packets of a client, if `SENDING` is set.
    pub sending: Pace,
    /// Bytes of what the daemon keeps.
    pub kept_bytes: u32,
    /// Always zero.
    pub reserved: u32,
}

impl Filter {
    /// Bit of `flags`: the nodes say who may begin connections.
    pub const LISTS: u32 = 1;
    /// Bit of `flags`: a client's new connections per second are limited.
    pub const OPENING: u32 = 2;
    /// Bit of `flags`: a client's open connections are limited.
    pub const OPEN: u32 = 4;
    /// Bit of `flags`: a client's packets per second are limited.
    pub const SENDING: u32 = 8;
    /// The bits of `flags` that stand for a limit.
    pub const LIMITS: u32 = Self::OPENING | Self::OPEN | Self::SENDING;
}

/// A node of a filter's trie: the next six bits of an address choose one of its 64 places.
///
/// A place that leads no further says whether addresses there are admitted. The nodes that the others lead to
/// lie side by side, in the order of their places.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FilterNode {
    /// The places that lead on, as bits.
    pub inner: u64,
    /// The places where addresses are admitted, as bits.
    pub admitted: u64,
    /// The node of the first place that leads on, from the start of [`super::FILTER_NODES`].
    pub next: u32,
    /// Always zero.
    pub reserved: u32,
}

/// Bits of an address that a node looks at.
pub const NODE_BITS: u32 = 6;

/// A limit per second, as the interval at which one more is allowed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Pace {
    /// Nanoseconds between two.
    pub interval: u32,
    /// Nanoseconds' worth that may be spent at once after a rest.
    pub depth: u32,
}

/// Bits of a moment in nanoseconds: as many as those of the clock's ticks.
const MOMENT: u32 = 32 + TICK_SHIFT;

impl Pace {
    /// So many a second, 1 to 1,000,000,000, and as many at once after a second's rest.
    pub const fn per_second(count: u32) -> Self {
        const SECOND: u32 = 1_000_000_000;
        let count = if count == 0 { 1 } else { count };
        let interval = SECOND / count;
        let interval = if interval == 0 { 1 } else { interval };
        Self {
            interval,
            depth: interval.saturating_mul(count),
        }
    }

    /// Initial value for [`Pace::spend`]: nothing is spent.
    #[inline(always)]
    pub const fn rested(now: u32) -> u64 {
        (now as u64) << TICK_SHIFT
    }

    /// Spends one. `paid` is the moment up to which all is paid for; returns it as it is afterwards, or `None`
    /// when one more is too many now.
    ///
    /// The generic cell rate algorithm (ITU-T I.371): a leaky bucket that is one number.
    #[inline(always)]
    pub const fn spend(&self, paid: u64, now: u32) -> Option<u64> {
        let now = Self::rested(now);
        // Moments wrap with the clock: the difference has the sign of its highest bit.
        let ahead = (paid.wrapping_sub(now) << (64 - MOMENT)).cast_signed() >> (64 - MOMENT);
        // Nobody is further ahead than the depth: that was before the clock wrapped.
        let ahead = if ahead < 0 || ahead > self.depth as i64 {
            0
        } else {
            ahead.cast_unsigned()
        };
        let after = ahead + self.interval as u64;
        if after > self.depth as u64 {
            return None;
        }
        Some(now.wrapping_add(after) & ((1 << MOMENT) - 1))
    }
}

/// Clients of one set.
pub const CLIENT_WAYS: u32 = 4;
/// Sets of the clients whose connections or packets are limited, a power of two.
pub const CLIENT_SETS: u32 = 16_384;

/// Some of the clients whose connections or packets are limited.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ClientSet {
    /// A hash of each way's client in two bytes, below 2 to the 15th; 0: free. Ways change hands by
    /// compare-and-exchange on this word.
    pub prints: u64,
    /// The clients.
    pub ways: [LimitedClient; CLIENT_WAYS as usize],
}

/// A client of a service that limits them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct LimitedClient {
    /// Its address, as far as the filter's mask goes.
    pub address: Address,
    /// The service's index.
    pub service: u32,
    /// Clock tick of the last packet that was looked at.
    pub seen: u32,
    /// Open connections, signed: one that was forgotten and came back has fewer than none until the sweep counted.
    pub connections: u32,
    /// Always zero.
    pub reserved: u32,
    /// New connections, see [`Pace::spend`].
    pub opening: u64,
    /// Packets, see [`Pace::spend`].
    pub sending: u64,
}

/// Packets of a service that its filter refused, by [`Refused`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FilterStats {
    /// By the number of [`Refused`].
    pub counts: [u64; 8],
}

/// Reasons for which a filter refuses packets, each counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refused {
    /// From an address that the lists do not admit.
    Denied = 0,
    /// New connections over the limit per second.
    Opening = 1,
    /// New connections over the limit of open ones.
    Open = 2,
    /// Packets over the limit per second.
    Sending = 3,
    /// Not refused: clients that were forgotten although they had connections, because there was no room for all.
    Forgotten = 4,
}

const _: () = {
    assert!(size_of::<Filter>() == 64);
    assert!(size_of::<FilterNode>() == 24);
    assert!(size_of::<ClientSet>() == 200);
    assert!(CLIENT_SETS.is_power_of_two());
};

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn as_many_as_a_second_allows_pass_at_once_and_then_one_at_each_interval() {
        for start in [5, u32::MAX - 300] {
            let pace = Pace::per_second(10);
            let mut paid = Pace::rested(start);
            let mut passed = 0;
            let mut now = start;
            // A tick is a little more than a millisecond: 1,907 are two seconds.
            for _ in 0..1_907 {
                for _ in 0..5 {
                    if let Some(after) = pace.spend(paid, now) {
                        paid = after;
                        passed += 1;
                    }
                }
                now = now.wrapping_add(1);
            }
            assert!((29..=30).contains(&passed), "{passed}");
        }
    }

    #[test]
    fn a_long_rest_brings_no_more_than_a_second_does() {
        for rest in [2_000, 1 << 31, 3 << 30] {
            let pace = Pace::per_second(4);
            let mut paid = Pace::rested(9);
            let now = 9_u32.wrapping_add(rest);
            let mut passed = 0;
            while let Some(after) = pace.spend(paid, now) {
                paid = after;
                passed += 1;
            }
            assert_eq!(passed, 4);
        }
    }

    #[test]
    fn extreme_paces_pass_something() {
        for count in [1, 3, 999_999_999, 1_000_000_000] {
            let pace = Pace::per_second(count);
            assert!(pace.spend(Pace::rested(7), 7).is_some(), "{count}");
        }
        assert_eq!(Pace::per_second(1).spend(Pace::rested(7) + 1, 7), None);
    }
}
