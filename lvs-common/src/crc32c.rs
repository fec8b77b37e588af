//! CRC-32C, SCTP's checksum (RFC 9260 appendix A), updated in place.
//!
//! The CRC is linear over exclusive or: the checksum of a changed packet is the old one combined with
//! the CRC (without its inversions) of the difference followed by as many zero bytes as follow the
//! change. So nothing but the change is read, and a packet that was damaged on its way stays
//! recognisably damaged.

use crate::walk::Step;

/// The polynomial, bit-reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The effect of one byte on the CRC.
static BYTES: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 0 {
                crc >> 1
            } else {
                crc >> 1 ^ POLYNOMIAL
            };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[byte] = crc;
        }
        byte += 1;
    }
    table
};

/// The CRC after one more byte of zero.
#[inline(always)]
fn append_zero(crc: u32) -> u32 {
    crc >> 8 ^ BYTES.get(crc as usize & 0xff).copied().unwrap_or(0)
}

/// The change of a checksum on its way to the end of the packet: one step for each byte that follows.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Change {
    crc: u32,
}

impl Change {
    /// Four bytes changed.
    #[inline(always)]
    pub fn new(old: [u8; 4], new: [u8; 4]) -> Self {
        let mut crc = u32::from_le_bytes(old) ^ u32::from_le_bytes(new);
        let mut byte = 0;
        while byte < 4 {
            crc = append_zero(crc);
            byte += 1;
        }
        Self { crc }
    }

    /// The checksum afterwards, once all steps are done.
    #[inline(always)]
    pub const fn apply(&self, checksum: u32) -> u32 {
        checksum ^ self.crc
    }
}

impl Step for Change {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        self.crc = append_zero(self.crc);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = crc >> 1 ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
            }
        }
        !crc
    }

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        assert_eq!(whole(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn an_update_equals_a_recomputation(
            mut bytes in proptest::collection::vec(any::<u8>(), 4..3000),
            new: [u8; 4],
        ) {
            let before = whole(&bytes);
            let mut old = [0; 4];
            old.copy_from_slice(&bytes[..4]);
            bytes[..4].copy_from_slice(&new);
            let following = u32::try_from(bytes.len() - 4).unwrap();
            let mut change = Change::new(old, new);
            for index in 0..following {
                change.step(index);
            }
            prop_assert_eq!(change.apply(before), whole(&bytes));
        }
    }
}
