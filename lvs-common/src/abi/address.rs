//! Addresses in the form that all maps share.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An IPv4 address lies in the first four bytes, the others are zero.
pub type Address = [u8; 16];
/// An Ethernet address.
pub type Mac = [u8; 6];

/// The addresses of an Ethernet header, as they stand there. In words: a BPF program copies them in three steps, and
/// halves of two addresses of six bytes would lie across the words of its stack.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct EthernetAddresses([u32; 3]);

impl EthernetAddresses {
    /// Those of a frame that has none.
    pub const NONE: Self = Self([0; 3]);

    /// Of a frame to an address from another one.
    #[inline(always)]
    pub const fn new(destination: Mac, source: Mac) -> Self {
        let [a, b, c, d, e, f] = destination;
        let [g, h, i, j, k, l] = source;
        Self([
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
        ])
    }

    /// The destination.
    #[inline(always)]
    pub const fn destination(&self) -> Mac {
        let Self([first, second, _]) = *self;
        let [a, b, c, d] = first.to_ne_bytes();
        let [e, f, ..] = second.to_ne_bytes();
        [a, b, c, d, e, f]
    }

    /// The source.
    #[inline(always)]
    pub const fn source(&self) -> Mac {
        let Self([_, second, third]) = *self;
        let [.., g, h] = second.to_ne_bytes();
        let [i, j, k, l] = third.to_ne_bytes();
        [g, h, i, j, k, l]
    }
}
