//! The internet checksum (RFC 1071), computed and updated in place (RFC 1624).
//!
//! On byte order: the ones' complement sum of 16-bit words is the same in either byte order, but for
//! its own order. So everything here loads words as they lie in memory and stores the result as it
//! is, and nothing is ever swapped. A checksum is two bytes (`[u8; 2]`), a running sum a [`Sum`].

/// A running ones' complement sum with room for carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(pub u64);

impl Sum {
    /// Adds four bytes.
    #[inline(always)]
    #[must_use]
    pub const fn add(self, bytes: [u8; 4]) -> Self {
        Self(self.0.wrapping_add(u32::from_ne_bytes(bytes) as u64))
    }

    /// Takes four bytes away: adds their complement.
    #[inline(always)]
    #[must_use]
    pub const fn remove(self, bytes: [u8; 4]) -> Self {
        Self(self.0.wrapping_add(!u32::from_ne_bytes(bytes) as u64))
    }

    /// Adds a two-byte field.
    #[inline(always)]
    #[must_use]
    pub const fn add_field(self, [a, b]: [u8; 2]) -> Self {
        self.add([a, b, 0, 0])
    }

    /// Takes a two-byte field away.
    #[inline(always)]
    #[must_use]
    pub const fn remove_field(self, [a, b]: [u8; 2]) -> Self {
        Self(self.0.wrapping_add(!u16::from_ne_bytes([a, b]) as u64))
    }

    /// Adds another sum.
    #[inline(always)]
    #[must_use]
    pub const fn join(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// Adds sixteen bytes.
    #[inline(always)]
    #[must_use]
    pub const fn add_wide(self, address: &[u8; 16]) -> Self {
        let [a, b, c, d]: [[u8; 4]; 4] = zerocopy::transmute!(*address);
        self.add(a).add(b).add(c).add(d)
    }

    /// Takes sixteen bytes away.
    #[inline(always)]
    #[must_use]
    pub const fn remove_wide(self, address: &[u8; 16]) -> Self {
        let [a, b, c, d]: [[u8; 4]; 4] = zerocopy::transmute!(*address);
        self.remove(a).remove(b).remove(c).remove(d)
    }

    /// The sum of bytes that begin at an odd place, by what it were at an even one (RFC 1071 section 2B).
    #[inline(always)]
    #[must_use]
    pub const fn at_odd(self) -> Self {
        Self(self.folded().swap_bytes() as u64)
    }

    /// The sum in 32 bits, as the kernel keeps it (`__wsum`).
    #[inline(always)]
    pub const fn folded_once(self) -> u32 {
        let sum = (self.0 & 0xffff_ffff).wrapping_add(self.0 >> 32);
        (sum & 0xffff_ffff).wrapping_add(sum >> 32) as u32
    }

    /// The sum in sixteen bits.
    #[inline(always)]
    const fn folded(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff).wrapping_add(self.0 >> 32);
        let sum = (sum & 0xffff).wrapping_add(sum >> 16);
        let sum = (sum & 0xffff).wrapping_add(sum >> 16);
        let sum = (sum & 0xffff).wrapping_add(sum >> 16);
        sum as u16
    }

    /// The checksum of what was added.
    #[inline(always)]
    pub const fn checksum(self) -> [u8; 2] {
        (!self.folded()).to_ne_bytes()
    }

    /// A checksum after a change whose difference this is (RFC 1624 equation 3).
    #[inline(always)]
    pub const fn update(self, [a, b]: [u8; 2]) -> [u8; 2] {
        self.add_field((!u16::from_ne_bytes([a, b])).to_ne_bytes())
            .checksum()
    }
}

/// A change of what a transport checksum covers.
#[derive(Clone, Copy, Debug)]
pub struct SumChange {
    /// The change of the addresses in the pseudo-header.
    pub addresses: Sum,
    /// The change of the ports.
    pub ports: Sum,
    /// True for UDP (RFC 768): a checksum of zero says that there is none.
    pub optional: bool,
    /// True for IPv6, whose header has no checksum that makes up for a change of the addresses.
    pub wide: bool,
}

impl SumChange {
    /// A complete checksum after the change.
    #[inline(always)]
    pub const fn update(&self, sum: [u8; 2]) -> [u8; 2] {
        let change = self.addresses.join(self.ports);
        if self.optional {
            update_udp(change, sum)
        } else {
            change.update(sum)
        }
    }
}

/// RFC 768: a UDP checksum of zero says that there is none, a computed zero is sent as all ones.
#[inline(always)]
pub(crate) const fn update_udp(difference: Sum, sum: [u8; 2]) -> [u8; 2] {
    if let [0, 0] = sum {
        return sum;
    }
    match difference.update(sum) {
        [0, 0] => [0xff, 0xff],
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> Sum {
        bytes
            .chunks(2)
            .fold(Sum::default(), |sum, pair| match pair {
                [a, b] => sum.add_field([*a, *b]),
                [a] => sum.add_field([*a, 0]),
                _ => sum,
            })
    }

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        let sum = whole(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.checksum(), [0x22, 0x0d]);
    }

    proptest! {
        #[test]
        fn an_update_equals_a_recomputation(
            mut bytes in proptest::collection::vec(any::<u8>(), 40..80),
            old_at in 0_usize..10,
            new: [u8; 4],
            wide: [u8; 16],
        ) {
            if bytes.len() % 2 == 1 { bytes.pop(); }
            let before = whole(&bytes).checksum();
            let at = old_at * 2;
            let mut old = [0; 4];
            old.copy_from_slice(&bytes[at..at + 4]);
            let mut old_wide = [0; 16];
            old_wide.copy_from_slice(&bytes[24..40]);
            let change = Sum::default().remove(old).add(new);
            bytes[at..at + 4].copy_from_slice(&new);
            // Overlapping changes would be two changes of the same bytes.
            let change = if at + 4 <= 24 {
                bytes[24..40].copy_from_slice(&wide);
                change.remove_wide(&old_wide).add_wide(&wide)
            } else {
                change
            };
            let after = whole(&bytes).checksum();
            // Zero has two forms in ones' complement; a sum of real bytes is never all zero.
            let updated = change.update(before);
            let zero = |sum: [u8; 2]| matches!(sum, [0, 0] | [0xff, 0xff]);
            prop_assert!(updated == after || zero(updated) && zero(after));
        }
    }
}
