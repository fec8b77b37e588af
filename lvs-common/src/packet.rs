//! A packet in one of its two forms, as the packet path sees it: a frame as a driver hands it over (XDP), or a
//! socket buffer (TC).
//!
//! Most of the packet path does not know the difference. Where there is one it asks [`Packet::BUFFER`]:
//!
//! | | frame | socket buffer |
//! |---|---|---|
//! | VLAN tags | in the bytes | the outer one beside them |
//! | link header | Ethernet | none where the device has none |
//! | bytes at hand | all | the first ones, others when asked for |
//! | checksum behind the IP header | complete | perhaps left to the device that sends the packet |
//! | one of them | one packet | perhaps many packets of one TCP connection |

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::{Sum, SumChange};
use crate::routes::Routes;
use crate::wire::ETHERTYPE_VLAN;

/// A header: any bytes are a value of it, at any address in a frame. At least two bytes:
/// for a single one the compiler writes a comparison that the verifier learns nothing from.
pub trait Header: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned {}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned> Header for T {}

/// Offsets beyond this are refused: nothing the director looks at lies further back, and the verifier
/// wants a bound.
pub const MAX_OFFSET: usize = 2047;

/// The headers that room is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// Family of the outer IP header, 4 or 6; 0: there is none.
    pub family: u8,
    /// IP protocol number of what follows it.
    pub protocol: u8,
}

impl Inserted {
    /// No outer headers.
    pub const OTHER: Self = Self {
        family: 0,
        protocol: 0,
    };
}

/// Bytes with checked access. Headers are read and written where they lie: a BPF program has no stack to
/// copy them to. The borrow checker sees to it that no header outlives a change of the frame's
/// size.
pub trait Packet {
    /// True: a socket buffer. What its methods below return for a frame never changes anything.
    const BUFFER: bool = false;
    /// The routes of the namespace it came into.
    type Routes: Routes;
    /// The same, as a handle: a lookup changes nothing of the packet.
    fn routes(&self) -> Self::Routes;
    /// Bytes from the link header to the end.
    fn length(&self) -> usize;
    /// Index of the interface it came by.
    fn interface(&self) -> u32;
    /// The header at an offset; `None` where the frame ends before it does.
    fn header<T: Header>(&self, offset: usize) -> Option<&T>;
    /// The header at an offset, to be changed.
    fn header_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T>;
    /// Puts room for that many bytes before a frame; `None` where the driver left too little.
    fn grow(&mut self, bytes: usize) -> Option<()>;
    /// Takes that many bytes off the front of a frame.
    fn shrink(&mut self, bytes: usize) -> Option<()>;
    /// Gives the daemon a copy of a frame, which it sends through the packet path once more a moment later; with
    /// an `mtu` other than 0 (as [`crate::abi::HeldFrame::mtu`]), in fragments that are not larger. False: it cannot take
    /// it.
    #[inline(always)]
    fn hold(&mut self, mtu: u32) -> bool {
        let _ = mtu;
        false
    }
    /// Cuts it to this length. A super-packet becomes a packet.
    fn truncate(&mut self, length: usize) -> Option<()>;

    /// Ethertype of a packet that came by a device without link header, which begins with its IP header.
    /// `None`: it begins with an Ethernet header.
    #[inline(always)]
    fn without_link(&self) -> Option<u16> {
        None
    }
    /// The VLAN tag beside the bytes.
    #[inline(always)]
    fn tag(&self) -> Option<U16> {
        None
    }
    /// Ethertype that announces the VLAN tag beside the bytes.
    #[inline(always)]
    fn tag_ethertype(&self) -> u16 {
        ETHERTYPE_VLAN
    }
    /// Whether it is for this host, where the kernel looked at its Ethernet address already.
    #[inline(always)]
    fn for_host(&self) -> Option<bool> {
        None
    }
    /// Bytes of payload in each packet that a super-packet becomes on the wire; 0: it is no super-packet.
    #[inline(always)]
    fn segment(&self) -> u32 {
        0
    }
    /// Packets that it becomes on the wire.
    #[inline(always)]
    fn packets(&self) -> u32 {
        1
    }
    /// Makes as many of the first bytes accessible, or all there are. All headers have to be asked for anew.
    #[inline(always)]
    fn pull(&mut self, bytes: usize) -> Option<()> {
        let _ = bytes;
        Some(())
    }
    /// Brings the transport checksum at an offset up to date. All headers have to be asked for anew.
    #[inline(always)]
    fn change_sum(&mut self, offset: usize, change: &SumChange) -> Option<()> {
        let sum: &mut [u8; 2] = self.header_mut(offset)?;
        *sum = change.update(*sum);
        Some(())
    }
    /// Notes a change of the sum over the IP packet that no checksum inside it makes up for.
    #[inline(always)]
    fn note_change(&mut self, change: Sum) {
        let _ = change;
    }
    /// Puts an Ethernet header of zeroes before a packet that has no link header.
    fn add_link_header(&mut self) -> Option<()> {
        None
    }
    /// Takes the VLAN tag beside the bytes away; a tag that follows in the bytes takes its place.
    fn pop_tag(&mut self) -> Option<()> {
        None
    }
    /// Puts a VLAN tag, announced by this ethertype, beside the bytes; the one there goes into them.
    fn push_tag(&mut self, ethertype: u16, control: U16) -> Option<()> {
        let _ = (ethertype, control);
        None
    }
    /// Puts room behind the Ethernet header: for the headers of an outer packet, or for anything else.
    fn insert(&mut self, bytes: usize, content: Inserted) -> Option<()> {
        let _ = (bytes, content);
        None
    }
    /// Takes so many bytes behind the Ethernet header away. That of a frame is to be written anew.
    #[inline(always)]
    fn remove(&mut self, bytes: usize) -> Option<()> {
        self.shrink(bytes)
    }
    /// Copies up to 64 bytes from an offset, which may lie beyond [`MAX_OFFSET`]: `bytes`, 1 to 64. The rest of
    /// `target` stays as it is.
    #[inline(always)]
    fn copy(&self, offset: usize, bytes: usize, target: &mut [u64; 8]) -> Option<()> {
        let _ = (offset, bytes, target);
        None
    }
}
