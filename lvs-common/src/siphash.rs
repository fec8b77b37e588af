//! SipHash-1-3 of one 32-bit word, as the kernel's `hsiphash_1u32` computes it on 64-bit machines:
//! IPVS's Maglev scheduler places flows with it.

#[derive(Clone, Copy)]
struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
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
    let [k0, k1] = key;
    let block = 4 << 56 | word as u64;
    let mut state = State {
        v0: 0x736f_6d65_7073_6575 ^ k0,
        v1: 0x646f_7261_6e64_6f6d ^ k1,
        v2: 0x6c79_6765_6e65_7261 ^ k0,
        v3: 0x7465_6462_7974_6573 ^ k1,
    };
    state.v3 ^= block;
    state = state.round();
    state.v0 ^= block;
    state.v2 ^= 0xff;
    state = state.round().round().round();
    (state.v0 ^ state.v1 ^ state.v2 ^ state.v3) as u32
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
}
