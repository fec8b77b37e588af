//! Frames that wait in the daemon.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a frame that can be held at most.
pub const HELD_BYTES: usize = 2_040;

/// Bytes of the ring buffer of held frames: room for 127.
pub const HELD_FRAGMENTS_BYTES: u32 = 1 << 18;

/// A frame that the program gives the daemon to hold.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HeldFrame {
    /// Index of the interface it came by.
    pub interface: u32,
    /// Its bytes.
    pub length: u16,
    /// It is to be cut into fragments of so many bytes; 0: it is a fragment that waits for its first one;
    /// [`HeldFrame::AGAIN`]. With [`HeldFrame::UNFINISHED`] its transport checksum is still to be finished.
    pub mtu: u16,
    /// The frame.
    pub bytes: [u8; HELD_BYTES],
}

impl HeldFrame {
    /// Bit of `mtu`, which is smaller than the frame: the transport checksum was left to the device that sends the
    /// packet at last, as that of a sender on the same machine is.
    pub const UNFINISHED: u16 = 1 << 15;
    /// Value of `mtu`, smaller than that of any link: the frame is to come in once more, at once.
    pub const AGAIN: u16 = 1;
}

const _: () = assert!(HELD_BYTES < HeldFrame::UNFINISHED as usize);
const _: () = assert!(size_of::<HeldFrame>() == 2_048);
