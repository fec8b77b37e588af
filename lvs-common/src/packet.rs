//! A frame, as the packet path sees it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A header: any bytes are a value of it, at any address in a frame. At least two bytes:
/// for a single one the compiler writes a comparison that the verifier learns nothing from.
pub trait Header: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned {}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned> Header for T {}

/// Offsets beyond this are refused: nothing the director looks at lies further back, and the verifier
/// wants a bound.
pub const MAX_OFFSET: usize = 2047;

/// Bytes with checked access. Headers are read and written where they lie: a BPF program has no stack to
/// copy them to. The borrow checker sees to it that no header outlives a change of the frame's
/// size.
pub trait Packet {
    /// Bytes in the frame.
    fn length(&self) -> usize;
    /// Index of the interface it came by.
    fn interface(&self) -> u32;
    /// The header at an offset; `None` where the frame ends before it does.
    fn header<T: Header>(&self, offset: usize) -> Option<&T>;
    /// The header at an offset, to be changed.
    fn header_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T>;
    /// Puts room for that many bytes before the frame; `None` where the driver left too little.
    fn grow(&mut self, bytes: usize) -> Option<()>;
    /// Takes that many bytes off the front.
    fn shrink(&mut self, bytes: usize) -> Option<()>;
    /// Cuts the frame to this length.
    fn truncate(&mut self, length: usize) -> Option<()>;
}
