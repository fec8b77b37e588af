//! The two address families, as types: the packet path is written once and compiled for each.

use crate::abi::Address;
use crate::secrets::Secrets;

/// IPv4 or IPv6.
pub trait Family: Copy + core::fmt::Debug + PartialEq + Eq + 'static {
    /// An address in network order.
    type Address: Copy + core::fmt::Debug + PartialEq + Eq + AsRef<[u8]> + 'static;
    /// The padding of an entry of the connection table, up to a power of two bytes.
    type Padding: Copy + core::fmt::Debug + 'static;
    /// 4 or 6.
    const NUMBER: u8;
    /// The padding, all zero.
    const PADDING: Self::Padding;
    /// The address in the form that all maps share.
    fn widen(address: Self::Address) -> Address;
    /// The address from the form that all maps share.
    fn narrow(address: &Address) -> Self::Address;
    /// The address so many above another one; the lowest 32 bits wrap.
    fn above(address: &Self::Address, by: u32) -> Self::Address;
    /// Returns whether two pairs of addresses are the same, compared in few steps.
    fn same(one: [&Self::Address; 2], other: [&Self::Address; 2]) -> bool;
    /// The connection table's hash of a source, a destination and two more words: NH over 32-bit words, see
    /// `nh`.
    fn hash<S: Secrets>(
        source: &Self::Address,
        destination: &Self::Address,
        rest: [u32; 2],
        secrets: S,
    ) -> u64;
}

/// IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V4;

/// IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V6;

/// Something of which there is one for each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerFamily<T> {
    /// IPv4's.
    pub v4: T,
    /// IPv6's.
    pub v6: T,
}

impl<T> PerFamily<T> {
    /// That of a family, 4 or 6.
    pub const fn of(&self, family: u8) -> &T {
        if family == V4::NUMBER {
            &self.v4
        } else {
            &self.v6
        }
    }

    /// That of a family, 4 or 6, to be changed.
    pub const fn of_mut(&mut self, family: u8) -> &mut T {
        if family == V4::NUMBER {
            &mut self.v4
        } else {
            &mut self.v6
        }
    }

    /// One made of each.
    pub fn map<U>(self, mut make: impl FnMut(T) -> U) -> PerFamily<U> {
        PerFamily {
            v4: make(self.v4),
            v6: make(self.v6),
        }
    }
}

/// One product of the NH sum: two words, each with half of a secret added.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of the secret are meant"
)]
const fn nh(left: u32, right: u32, secret: u64) -> u64 {
    (left.wrapping_add(secret as u32) as u64)
        .wrapping_mul(right.wrapping_add((secret >> 32) as u32) as u64)
}

/// The finish that a bare sum of products lacks: see `connection::hash`.
const fn finish(sum: u64, first: u64, second: u64) -> u64 {
    let mixed = sum.wrapping_mul(first | 1);
    (mixed ^ (mixed >> 32)).wrapping_mul(second | 1)
}

impl Family for V4 {
    type Address = [u8; 4];
    type Padding = ();
    const NUMBER: u8 = 4;
    const PADDING: () = ();

    #[inline(always)]
    fn widen(address: [u8; 4]) -> Address {
        // In double words: zeroes from the fourth byte on would lie across those of a BPF program's stack.
        let first = u64::from(u32::from_le_bytes(address)).to_le();
        zerocopy::transmute!([first, 0])
    }

    #[inline(always)]
    fn narrow(address: &Address) -> [u8; 4] {
        let [a, b, c, d, ..] = *address;
        [a, b, c, d]
    }

    #[inline(always)]
    fn above(address: &[u8; 4], by: u32) -> [u8; 4] {
        u32::from_be_bytes(*address).wrapping_add(by).to_be_bytes()
    }

    #[inline(always)]
    fn same([a, b]: [&[u8; 4]; 2], [c, d]: [&[u8; 4]; 2]) -> bool {
        let one: u64 = zerocopy::transmute!([*a, *b]);
        let other: u64 = zerocopy::transmute!([*c, *d]);
        one == other
    }

    #[inline(always)]
    fn hash<S: Secrets>(
        source: &[u8; 4],
        destination: &[u8; 4],
        [first, second]: [u32; 2],
        secrets: S,
    ) -> u64 {
        let (s0, s1) = (secrets.secret(0), secrets.secret(1));
        let addresses = nh(
            u32::from_ne_bytes(*source),
            u32::from_ne_bytes(*destination),
            s0,
        );
        let rest = nh(first, second, s1);
        finish(
            addresses.wrapping_add(rest),
            secrets.secret(14),
            secrets.secret(15),
        )
    }
}

impl Family for V6 {
    type Address = [u8; 16];
    type Padding = [u64; 5];
    const NUMBER: u8 = 6;
    const PADDING: [u64; 5] = [0; 5];

    #[inline(always)]
    fn widen(address: [u8; 16]) -> Address {
        address
    }

    #[inline(always)]
    fn narrow(address: &Address) -> [u8; 16] {
        *address
    }

    #[inline(always)]
    fn above(address: &[u8; 16], by: u32) -> [u8; 16] {
        let [head, middle, more, low]: [[u8; 4]; 4] = zerocopy::transmute!(*address);
        let low = u32::from_be_bytes(low).wrapping_add(by).to_be_bytes();
        zerocopy::transmute!([head, middle, more, low])
    }

    #[inline(always)]
    fn same([a, b]: [&[u8; 16]; 2], [c, d]: [&[u8; 16]; 2]) -> bool {
        a == c && b == d
    }

    #[inline(always)]
    fn hash<S: Secrets>(
        source: &[u8; 16],
        destination: &[u8; 16],
        [first, second]: [u32; 2],
        secrets: S,
    ) -> u64 {
        let (s0, s1, s2) = (secrets.secret(0), secrets.secret(1), secrets.secret(2));
        let (s3, s4) = (secrets.secret(3), secrets.secret(4));
        let source: [u32; 4] = zerocopy::transmute!(*source);
        let destination: [u32; 4] = zerocopy::transmute!(*destination);
        let sum = nh(source[0], source[1], s0)
            .wrapping_add(nh(source[2], source[3], s1))
            .wrapping_add(nh(destination[0], destination[1], s2))
            .wrapping_add(nh(destination[2], destination[3], s3))
            .wrapping_add(nh(first, second, s4));
        finish(sum, secrets.secret(14), secrets.secret(15))
    }
}
