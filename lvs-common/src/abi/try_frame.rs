//! Frames that try an interface out.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::address::Mac;

/// A frame that [`super::TRY_PROGRAM`] sends by the interface that it names, which tells whether that takes frames from
/// an XDP program. On the wire it is nobody's: it goes from the interface's own Ethernet address to the same.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct TryFrame {
    /// Ethernet address of the interface.
    pub destination: Mac,
    /// The same.
    pub source: Mac,
    /// [`TryFrame::ETHERTYPE`].
    pub ethertype: U16,
    /// Index of the interface, in the machine's byte order.
    pub interface: [u8; 4],
    /// Fills the shortest frame of Ethernet.
    pub padding: [u8; 42],
}

impl TryFrame {
    /// Local experiments (IEEE 802, ethertype 1).
    pub const ETHERTYPE: u16 = 0x88b5;

    /// The frame for an interface with this Ethernet address.
    pub const fn new(interface: u32, mac: Mac) -> Self {
        Self {
            destination: mac,
            source: mac,
            ethertype: U16::new(Self::ETHERTYPE),
            interface: interface.to_ne_bytes(),
            padding: [0; 42],
        }
    }
}

const _: () = assert!(size_of::<TryFrame>() == 60);
