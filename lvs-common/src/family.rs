//! The two address families, as types: the packet path is written once and compiled for each.

use crate::abi::Address;
use crate::connection::{Key, Ports};

/// IPv4 or IPv6.
pub trait Family: Copy + core::fmt::Debug + PartialEq + Eq + 'static {
    /// An address in network order.
    type Address: Copy + core::fmt::Debug + PartialEq + Eq + AsRef<[u8]> + 'static;
    /// What fills an entry of the connection table up to a power of two.
    type Padding: Copy + core::fmt::Debug + 'static;
    /// 4 or 6.
    const NUMBER: u8;
    /// Nothing.
    const PADDING: Self::Padding;
    /// The address in the form that all maps share.
    fn widen(address: Self::Address) -> Address;
    /// The address from the form that all maps share.
    fn narrow(address: &Address) -> Self::Address;
    /// The connection table's hash: NH over 32-bit words, see [`crate::connection::hash`].
    fn hash(key: &Key<Self>, secrets: &[u64; 16]) -> u64;
}

/// IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V4;

/// IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V6;

const fn word(a: u8, b: u8, c: u8, d: u8) -> u32 {
    u32::from_ne_bytes([a, b, c, d])
}

/// Ports as one word.
const fn ports(ports: Ports) -> u32 {
    let [a, b] = ports.source.to_bytes();
    let [c, d] = ports.destination.to_bytes();
    word(a, b, c, d)
}

/// One product of the NH sum: two words, each with half of a secret added.
#[expect(clippy::cast_possible_truncation, reason = "the halves of the secret are meant")]
const fn nh(left: u32, right: u32, secret: u64) -> u64 {
    (left.wrapping_add(secret as u32) as u64).wrapping_mul(right.wrapping_add((secret >> 32) as u32) as u64)
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
    fn widen([a, b, c, d]: [u8; 4]) -> Address {
        [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    #[inline(always)]
    fn narrow(address: &Address) -> [u8; 4] {
        let [a, b, c, d, ..] = *address;
        [a, b, c, d]
    }

    #[inline(always)]
    fn hash(key: &Key<Self>, secrets: &[u64; 16]) -> u64 {
        let [s0, s1, .., f0, f1] = *secrets;
        let [a, b, c, d] = key.source;
        let [e, f, g, h] = key.destination;
        let addresses = nh(word(a, b, c, d), word(e, f, g, h), s0);
        let rest = nh(ports(key.ports), u32::from(key.protocol) << 8 | u32::from(key.kind), s1);
        finish(addresses.wrapping_add(rest), f0, f1)
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
    fn hash(key: &Key<Self>, secrets: &[u64; 16]) -> u64 {
        let [s0, s1, s2, s3, s4, .., f0, f1] = *secrets;
        let [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, aa, ab, ac, ad, ae, af] = key.source;
        let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, ba, bb, bc, bd, be, bf] = key.destination;
        let sum = nh(word(a0, a1, a2, a3), word(a4, a5, a6, a7), s0)
            .wrapping_add(nh(word(a8, a9, aa, ab), word(ac, ad, ae, af), s1))
            .wrapping_add(nh(word(b0, b1, b2, b3), word(b4, b5, b6, b7), s2))
            .wrapping_add(nh(word(b8, b9, ba, bb), word(bc, bd, be, bf), s3))
            .wrapping_add(nh(ports(key.ports), u32::from(key.protocol) << 8 | u32::from(key.kind), s4));
        finish(sum, f0, f1)
    }
}
