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
    #[expect(clippy::many_single_char_names, reason = "the bytes of two addresses")]
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
    pub const fn destination(&self) -> Mac {
        let [destination, _]: [Mac; 2] = zerocopy::transmute!(self.0);
        destination
    }

    /// The source.
    pub const fn source(&self) -> Mac {
        let [_, source]: [Mac; 2] = zerocopy::transmute!(self.0);
        source
    }
}
