//! All ways of a set at a glance: nearly every insertion needs no more.
//!
//! There is no branch in it: the tags lie side by side in a few words, on which arithmetic is done
//! for all ways at once. The processor fetches the cache lines of the ways side by side, instead of one after
//! the other as it guesses its way through a loop, and a verifier follows one path, instead of each order in
//! which eight ways may be free.

use super::ways::Ways;
use crate::abi::WAYS;
use crate::connection::Tag;
use crate::family::Family;

/// The tags of a set, as an insertion looks at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Glance {
    /// [`Tag::condition`] of each way in a byte.
    conditions: u64,
    /// [`Tag::print`] of each way in two bytes.
    prints: [u64; 2],
}

/// One in each byte.
const BYTES: u64 = 0x0101_0101_0101_0101;
/// One in each two bytes.
pub(crate) const PAIRS: u64 = 0x0001_0001_0001_0001;

impl Glance {
    /// Looks at a set.
    #[inline(always)]
    pub(super) fn at<F: Family, S: Ways<F>>(set: S) -> Self {
        let mut glance = Self::default();
        let mut way = 0;
        while way < WAYS {
            glance = glance.and(way, set.tag(way));
            way += 1;
        }
        glance
    }

    /// Looks at one more way.
    #[inline(always)]
    fn and(mut self, way: u32, tag: Tag) -> Self {
        self.conditions |= u64::from(tag.condition()) << (8 * way);
        let [low, high] = &mut self.prints;
        let prints = if way < 4 { low } else { high };
        *prints |= u64::from(tag.print()) << (16 * (way & 3));
        self
    }

    /// Free ways, as bits.
    #[inline(always)]
    pub(super) const fn free(self) -> u32 {
        // A phase is below 16: the highest bit of its byte is left where it is zero.
        let phases = self.conditions & (BYTES * Tag::PHASE as u64);
        let free = (BYTES << 7).wrapping_sub(phases) & (BYTES << 7);
        // Moves the highest bit of each byte next to the others.
        (free.wrapping_mul(0x0002_0408_1020_4081) >> 56) as u32
    }

    /// Half-open connections, expired ones included.
    #[inline(always)]
    pub(super) const fn half_open(self) -> u32 {
        let bits = (self.conditions / Tag::HALF_OPEN as u64) & BYTES;
        (bits.wrapping_mul(BYTES) >> 56) as u32
    }

    /// Connections and claims with this fingerprint (in place). Of a fingerprint of zero free ways are such,
    /// too.
    #[inline(always)]
    pub(super) const fn alike(self, fingerprint: u32) -> u32 {
        let [low, high] = self.prints;
        let wanted = Tag(fingerprint).print() as u64 * PAIRS;
        let count = zeroes(low ^ wanted) + zeroes(high ^ wanted);
        (count.wrapping_mul(PAIRS) >> 48) as u32
    }

    /// The free way to take first, from a home way on: there is one.
    #[inline(always)]
    pub(super) const fn nearest(self, home: u32) -> u32 {
        // The way at each turn is the home way with some of its three bits changed: so is its bit's place here.
        let turns = swap(self.free(), home, 1, 0x55);
        let turns = swap(turns, home >> 1, 2, 0x33);
        let turns = swap(turns, home >> 2, 4, 0x0f);
        let first = turns & turns.wrapping_neg();
        home ^ (has(first & 0xf0) << 2 | has(first & 0xcc) << 1 | has(first & 0xaa))
    }
}

/// One in each two bytes that are zero: fingerprints are below 2 to the 14th.
#[inline(always)]
const fn zeroes(pairs: u64) -> u64 {
    (PAIRS << 15).wrapping_sub(pairs) >> 15 & PAIRS
}

/// Exchanges the bits under a mask with those so many places above them, if the condition is odd.
#[inline(always)]
const fn swap(bits: u32, condition: u32, distance: u32, mask: u32) -> u32 {
    let wanted = (condition & 1).wrapping_neg() & mask;
    let differ = (bits ^ bits >> distance) & wanted;
    bits ^ differ ^ differ << distance
}

/// 0 for zero, 1 for any other small number of bits.
#[inline(always)]
const fn has(bits: u32) -> u32 {
    bits.wrapping_neg() >> 31
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Fingerprints that agree now and then.
    fn fingerprint() -> impl Strategy<Value = u32> {
        prop_oneof![Just(0), Just(0x4_0000), Just(0x8000_0000), any::<u32>()]
            .prop_map(|word| word & Tag::FINGERPRINT)
    }

    fn tag() -> impl Strategy<Value = Tag> {
        let free = any::<u32>().prop_map(|word| Tag(word).freed());
        let busy = (any::<u32>(), fingerprint()).prop_map(|(word, of)| Tag(word).claimed(of));
        let live = (any::<u32>(), fingerprint(), 0..11_u8, any::<bool>())
            .prop_map(|(word, of, state, open)| Tag(word).claimed(of).live(state, open));
        prop_oneof![free, busy, live]
    }

    proptest! {
        #[test]
        fn a_glance_sees_what_a_closer_look_would(
            fingerprint in fingerprint(),
            home in 0..WAYS,
            seen in proptest::array::uniform8(tag()),
        ) {
            let glance = (0..).zip(&seen).fold(Glance::default(), |glance, (way, &tag)| {
                glance.and(way, tag)
            });
            let half_open = seen.iter().filter(|tag| tag.is_live() && tag.is_half_open()).count();
            let alike = seen.iter().filter(|tag| tag.has_fingerprint(fingerprint)).count();
            prop_assert_eq!(glance.half_open() as usize, half_open);
            prop_assert_eq!(glance.alike(fingerprint) as usize, alike);
            for way in 0..WAYS {
                prop_assert_eq!(glance.free() >> way & 1 != 0, seen[way as usize].is_free());
            }
            let mut ways = (0..WAYS).map(|turn| home ^ turn);
            if let Some(way) = ways.find(|&way| seen[way as usize].is_free()) {
                prop_assert_eq!(glance.nearest(home), way);
            }
        }
    }
}
