//! SipHash-1-3: of one 32-bit word as the kernel's `hsiphash_1u32` computes it on 64-bit machines, by which IPVS's
//! Maglev scheduler places flows, and of any bytes, in blocks of eight.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A hash in the making.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    /// Before the first block.
    #[inline(always)]
    pub const fn new([k0, k1]: [u64; 2]) -> Self {
        Self {
            v0: 0x736f_6d65_7073_6575 ^ k0,
            v1: 0x646f_7261_6e64_6f6d ^ k1,
            v2: 0x6c79_6765_6e65_7261 ^ k0,
            v3: 0x7465_6462_7974_6573 ^ k1,
        }
    }

    /// After one more block of eight bytes, the first of them lowest. The last block has what is left, and the length
    /// of everything in its highest byte.
    #[inline(always)]
    #[must_use]
    pub const fn block(mut self, block: u64) -> Self {
        self.v3 ^= block;
        let mut next = self.round();
        next.v0 ^= block;
        next
    }

    /// The hash after the last block.
    #[inline(always)]
    pub const fn finish(mut self) -> u64 {
        self.v2 ^= 0xff;
        let Self { v0, v1, v2, v3 } = self.round().round().round();
        v0 ^ v1 ^ v2 ^ v3
    }

    #[inline(always)]
    const fn round(self) -> Self {
        let Self {
            mut v0,
            mut v1,
            mut v2,
            mut v3,
        } = self;
        v0 = v0.wrapping_add(v1);
        v1 = v1.rotate_left(13) ^ v0;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v3);
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.wrapping_add(v3);
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.wrapping_add(v1);
        v1 = v1.rotate_left(17) ^ v2;
        v2 = v2.rotate_left(32);
        Self { v0, v1, v2, v3 }
    }
}

/// The hash of a word under a key of two words.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the kernel's type for it is 32 bits wide"
)]
pub const fn hash(word: u32, key: [u64; 2]) -> u32 {
    State::new(key).block(4 << 56 | word as u64).finish() as u32
}

#[cfg(test)]
mod tests {
    use core::hash::Hasher;

    use siphasher::sip::SipHasher13;

    use super::*;

    #[test]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the function under test truncates too"
    )]
    fn it_is_siphash_1_3_truncated() {
        for word in [0, 1, 80, 0xc633_6414, u32::MAX] {
            let mut reference = SipHasher13::new_with_keys(2_654_435_761, 2_654_435_761);
            reference.write(&word.to_le_bytes());
            assert_eq!(hash(word, [2_654_435_761; 2]), reference.finish() as u32);
        }
    }
    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "lengths are small")]
    fn it_is_siphash_1_3_of_bytes() {
        let text: [u8; 40] = core::array::from_fn(|place| place as u8 ^ 0x5a);
        for length in 0..=text.len() {
            let (blocks, rest) = text[..length].as_chunks::<8>();
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            last[7] = length as u8;
            let state = blocks
                .iter()
                .chain([&last])
                .fold(State::new([3, 5]), |state, block| {
                    state.block(u64::from_le_bytes(*block))
                });
            let mut reference = SipHasher13::new_with_keys(3, 5);
            reference.write(&text[..length]);
            assert_eq!(state.finish(), reference.finish(), "{length} bytes");
        }
    }
}
