//! All ways of a set at a glance: what settles nearly every insertion.
//!
//! There is no branch in it. The processor fetches the cache lines of the ways side by side, instead of one
//! after the other as it guesses its way through a loop, and a verifier follows one path, instead of
//! each order in which eight ways may be free.

use super::{Place, Ways};
use crate::abi::WAYS;
use crate::connection::Tag;
use crate::family::Family;

/// What the tags of a set say to somebody with a key to insert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Glance {
    /// Turns from the home way to the first free one; [`WAYS`]: none is free.
    pub(super) taken: u32,
    /// Half-open connections, expired ones included.
    pub(super) half_open: u32,
    /// Connections and claims with the key's fingerprint.
    pub(super) alike: u32,
    /// 1 once a free way was met.
    met: u32,
}

impl Glance {
    /// Looks at a set.
    #[inline(always)]
    pub(super) fn at<F: Family, S: Ways<F>>(set: S, place: Place) -> Self {
        let mut glance = Self::default();
        let mut turn = 0;
        while turn < WAYS {
            let tag = set.tag((place.home ^ turn) & (WAYS - 1));
            glance = glance.and(tag, place.fingerprint, S::opaque);
            turn += 1;
        }
        glance
    }

    /// Looks at one more way.
    #[inline(always)]
    fn and(self, tag: Tag, fingerprint: u32, opaque: impl Fn(u32) -> u32) -> Self {
        let free = is_zero(opaque(tag.phase()));
        let same = is_zero(opaque(tag.unlike(fingerprint)));
        let met = self.met | free;
        Self {
            taken: self.taken + (met ^ 1),
            half_open: self.half_open + tag.half_open_bit(),
            alike: self.alike + (same & (free ^ 1)),
            met,
        }
    }
}

/// 1 for zero, 0 for any other small number.
#[inline(always)]
const fn is_zero(number: u32) -> u32 {
    number.wrapping_sub(1) >> 31
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
            seen in proptest::array::uniform8(tag()),
        ) {
            let glance = seen.iter().fold(Glance::default(), |glance, &tag| {
                glance.and(tag, fingerprint, |word| word)
            });
            let taken = seen.iter().take_while(|tag| !tag.is_free()).count();
            let half_open = seen.iter().filter(|tag| tag.is_live() && tag.is_half_open()).count();
            let alike = seen
                .iter()
                .filter(|tag| !tag.is_free() && tag.has_fingerprint(fingerprint))
                .count();
            prop_assert_eq!(glance.taken as usize, taken);
            prop_assert_eq!(glance.half_open as usize, half_open);
            prop_assert_eq!(glance.alike as usize, alike);
        }
    }
}
