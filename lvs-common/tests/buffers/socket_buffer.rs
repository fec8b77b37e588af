//! A socket buffer as the kernel hands it to TC, and the helpers that change it.
//!
//! Of each packet as little as possible lies at hand, the outer VLAN tag is beside the bytes, and a checksum that is
//! right is left unfinished, as of a sender on the same machine: it holds the sum of the pseudo-header, and whatever
//! sends the packet at last computes it over the bytes that are there then. So a checksum that is changed in place
//! comes out wrong.

use lvs_common::checksum::{Sum, SumChange};
use lvs_common::packet::{Header, Inserted, MAX_OFFSET, Packet};
use lvs_frames::{checksum, crc32c};
use zerocopy::IntoBytes as _;
use zerocopy::byteorder::network_endian::U16;

use super::memory::INTERFACE;
use super::route_table::RouteTable;

/// Bytes of the first part of a packet: the headers of a TCP segment with a few options.
const AT_HAND: usize = 78;

const ETHERNET: usize = 14;

/// A socket buffer. Room that was never written holds stale bytes.
#[derive(Clone)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    /// How many of them are at hand.
    linear: usize,
    /// Ethertype and control of the tag.
    tag: Option<(u16, u16)>,
    unfinished: Option<Unfinished>,
    /// See [`Packet::without_link`].
    pub(crate) without_link: Option<u16>,
    pub(crate) for_host: Option<bool>,
    pub(crate) segment: u32,
    pub(crate) packets: u32,
    pub(crate) interface: u32,
    pub(crate) routes: &'static RouteTable,
    /// Somebody takes frames to hold, and took so many.
    pub(crate) holder: Option<u32>,
}

/// A checksum that is still to be computed (`CHECKSUM_PARTIAL`).
#[derive(Clone, Copy)]
struct Unfinished {
    /// Where what it covers begins; it ends with the packet.
    start: usize,
    place: usize,
    kind: Kind,
    /// The checksum that the packet would have had.
    complete: [u8; 2],
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Tcp,
    Udp,
    /// A CRC32c.
    Sctp,
}

impl Kind {
    fn of(protocol: u8) -> Option<(Self, usize)> {
        match protocol {
            6 => Some((Self::Tcp, 16)),
            17 => Some((Self::Udp, 6)),
            132 => Some((Self::Sctp, 8)),
            _ => None,
        }
    }
}

fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8)
}

impl Frame {
    pub(crate) fn new(frame: &[u8]) -> Self {
        let mut buffer = Self {
            bytes: frame.to_vec(),
            linear: 0,
            tag: None,
            unfinished: None,
            without_link: None,
            for_host: None,
            segment: 0,
            packets: 1,
            interface: INTERFACE,
            routes: RouteTable::none(),
            holder: None,
        };
        buffer.untag();
        buffer.leave_unfinished();
        buffer.linear = buffer.bytes.len().min(AT_HAND);
        buffer
    }

    /// The same packet from a device without link header.
    pub(crate) fn take_link_off(&mut self) {
        self.without_link = self.word(12);
        self.bytes.drain(..ETHERNET);
        self.linear -= ETHERNET;
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.start -= ETHERNET;
            unfinished.place -= ETHERNET;
        }
    }

    /// The frame as it goes on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if let Some(unfinished) = self.unfinished {
            unfinished.finish(&mut bytes);
            normalize(&mut bytes, &unfinished);
        }
        if let Some((ethertype, control)) = self.tag {
            let tag = [ethertype.to_be_bytes(), control.to_be_bytes()].concat();
            bytes.splice(12..12, tag);
        }
        bytes
    }

    fn word(&self, at: usize) -> Option<u16> {
        let word = self.bytes.get(at..at + 2)?;
        Some(u16::from_be_bytes(word.try_into().ok()?))
    }

    /// Moves a tag from the bytes to where the kernel keeps it.
    fn untag(&mut self) {
        if let (Some(ethertype), Some(control)) = (self.word(12), self.word(14))
            && is_vlan(ethertype)
            && self.bytes.len() >= ETHERNET + 4
        {
            self.tag = Some((ethertype, control));
            self.bytes.drain(12..16);
            self.linear = self.linear.saturating_sub(4);
            self.shift(-4);
        }
    }

    fn shift(&mut self, bytes: isize) {
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.start = unfinished.start.wrapping_add_signed(bytes);
            unfinished.place = unfinished.place.wrapping_add_signed(bytes);
        }
    }

    /// Takes the transport checksum of a whole packet back to the sum of the pseudo-header, if it is right.
    fn leave_unfinished(&mut self) {
        let Some((start, end, protocol, mut pseudo)) = self.transport() else {
            return;
        };
        let Some((kind, place)) = Kind::of(protocol) else {
            return;
        };
        if end != self.bytes.len() || start + 20 > end {
            return;
        }
        let length = u32::try_from(end - start).expect("short");
        pseudo.extend(length.to_be_bytes());
        pseudo.extend(u32::from(protocol).to_be_bytes());
        let unfinished = Unfinished {
            start,
            place: start + place,
            kind,
            complete: [self.bytes[start + place], self.bytes[start + place + 1]],
        };
        let mut begun = self.bytes.clone();
        if kind == Kind::Sctp {
            begun[start + place..start + place + 4].fill(0);
        } else {
            let sum = !checksum(&pseudo);
            begun[start + place..start + place + 2].copy_from_slice(&sum.to_be_bytes());
        }
        let mut finished = begun.clone();
        unfinished.finish(&mut finished);
        if finished == self.bytes {
            self.bytes = begun;
            self.unfinished = Some(unfinished);
        }
    }

    /// Where the transport header of a whole packet begins and where the packet ends, its protocol and its addresses.
    fn transport(&self) -> Option<(usize, usize, u8, Vec<u8>)> {
        let bytes = &self.bytes;
        match self.word(12)? {
            0x0800
                if bytes.len() >= 34
                    && self.word(20)?.trailing_zeros() >= 14
                    && bytes[14] >> 4 == 4 =>
            {
                let start = ETHERNET + usize::from(bytes[14] & 0xf) * 4;
                let end = ETHERNET + usize::from(self.word(16)?);
                Some((start, end, bytes[23], bytes[26..34].to_vec()))
            }
            0x86dd if bytes.len() >= 54 => {
                let end = 54 + usize::from(self.word(18)?);
                Some((54, end, bytes[20], bytes[22..54].to_vec()))
            }
            _ => None,
        }
    }

    fn at_hand(&self, offset: usize, bytes: usize) -> Option<std::ops::Range<usize>> {
        (offset <= MAX_OFFSET && offset + bytes <= self.linear).then_some(offset..offset + bytes)
    }

    /// Packets whose headers the kernel knows where to find.
    fn is_ip(&self) -> bool {
        matches!(self.word(12), Some(0x0800 | 0x86dd))
    }
}

impl Unfinished {
    fn finish(&self, bytes: &mut [u8]) {
        let Self {
            start, place, kind, ..
        } = *self;
        if kind == Kind::Sctp {
            let crc = crc32c(&bytes[start..]);
            bytes[place..place + 4].copy_from_slice(&crc.to_le_bytes());
            return;
        }
        let sum = match checksum(&bytes[start..]) {
            0 if kind == Kind::Udp => 0xffff,
            sum => sum,
        };
        bytes[place..place + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Takes out of an answer what it has because the checksum of the packet it was made of is finished all the same.
fn normalize(bytes: &mut Vec<u8>, unfinished: &Unfinished) {
    if bytes.len() < 54 {
        return;
    }
    let v4 = bytes[14] >> 4 == 4;
    let (protocol, header) = if v4 { (bytes[23], 20) } else { (bytes[20], 40) };
    let length = usize::from(u16::from_be_bytes(if v4 {
        [bytes[16], bytes[17]]
    } else {
        [bytes[18], bytes[19]]
    }));
    let end = ETHERNET + length + if v4 { 0 } else { 40 };
    if unfinished.place >= end {
        // In the padding of a reset.
        bytes.truncate(end);
    }
    let icmp = ETHERNET + header;
    // Damaged packets end anywhere.
    let whole = unfinished.place + 2 <= bytes.len() && icmp + 4 <= bytes.len();
    if !matches!(protocol, 1 | 58) || unfinished.start <= icmp || !whole {
        return;
    }
    let covered = |bytes: &[u8]| {
        let mut covered = Vec::new();
        if !v4 {
            covered.extend(&bytes[22..54]);
            covered.extend(
                u32::try_from(bytes.len() - icmp)
                    .expect("short")
                    .to_be_bytes(),
            );
            covered.extend(58_u32.to_be_bytes());
        }
        covered.extend(&bytes[icmp..]);
        checksum(&covered)
    };
    if unfinished.kind != Kind::Sctp {
        assert_eq!(covered(bytes), 0, "the checksum of an answer");
    }
    // Nobody looks at the checksum of the packet inside, which is cut.
    bytes[unfinished.place..unfinished.place + 2].copy_from_slice(&unfinished.complete);
    bytes[icmp + 2..icmp + 4].fill(0);
    let sum = covered(bytes).to_be_bytes();
    bytes[icmp + 2..icmp + 4].copy_from_slice(&sum);
}

impl Packet for Frame {
    type Routes = &'static RouteTable;
    fn routes(&self) -> &'static RouteTable {
        self.routes
    }
    const BUFFER: bool = true;

    fn length(&self) -> usize {
        self.bytes.len()
    }
    fn interface(&self) -> u32 {
        self.interface
    }
    fn header<T: Header>(&self, offset: usize) -> Option<&T> {
        let place = self.at_hand(offset, size_of::<T>())?;
        T::ref_from_bytes(&self.bytes[place]).ok()
    }
    fn header_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        let place = self.at_hand(offset, size_of::<T>())?;
        T::mut_from_bytes(&mut self.bytes[place]).ok()
    }
    fn hold(&mut self, _mtu: u32) -> bool {
        self.holder = self.holder.map(|held| held + 1);
        self.holder.is_some()
    }
    fn grow(&mut self, _bytes: usize) -> Option<()> {
        panic!("the front of a socket buffer is the kernel's");
    }
    fn shrink(&mut self, _bytes: usize) -> Option<()> {
        panic!("the front of a socket buffer is the kernel's");
    }
    fn truncate(&mut self, length: usize) -> Option<()> {
        // The kernel keeps what it still has to compute.
        let least = self
            .unfinished
            .map_or(ETHERNET, |unfinished| unfinished.place + 2);
        if length < least || length > self.length() {
            return None;
        }
        self.bytes.truncate(length);
        self.linear = self.linear.min(length);
        (self.segment, self.packets) = (0, 1);
        Some(())
    }
    fn without_link(&self) -> Option<u16> {
        self.without_link
    }
    fn tag_ethertype(&self) -> u16 {
        self.tag.map_or(0, |(ethertype, _)| ethertype)
    }

    fn tag(&self) -> Option<U16> {
        self.tag.map(|(_, control)| control.into())
    }
    fn for_host(&self) -> Option<bool> {
        self.for_host
    }
    fn segment(&self) -> u32 {
        self.segment
    }
    fn packets(&self) -> u32 {
        self.packets
    }
    fn pull(&mut self, bytes: usize) -> Option<()> {
        self.linear = self.linear.max(bytes.min(self.length()));
        Some(())
    }
    fn change_sum(&mut self, offset: usize, change: &SumChange) -> Option<()> {
        let unfinished = self.unfinished.is_some_and(|sum| sum.place == offset);
        let place = self.at_hand(offset, 2)?;
        let sum: &mut [u8; 2] = (&mut self.bytes[place]).try_into().ok()?;
        *sum = if unfinished {
            // It is not complemented, and knows nothing of ports.
            change
                .addresses
                .update(sum.map(|byte| !byte))
                .map(|byte| !byte)
        } else {
            change.update(*sum)
        };
        Some(())
    }
    fn note_change(&mut self, _change: Sum) {}
    fn add_link_header(&mut self) -> Option<()> {
        assert!(self.without_link.is_some(), "a second link header");
        self.bytes.splice(..0, [0; ETHERNET]);
        self.linear += ETHERNET;
        self.shift(14);
        Some(())
    }
    fn pop_tag(&mut self) -> Option<()> {
        self.tag.take().expect("popped a tag that is not there");
        self.untag();
        Some(())
    }
    fn push_tag(&mut self, ethertype: u16, control: U16) -> Option<()> {
        if let Some((ethertype, control)) = self.tag {
            let tag = [ethertype.to_be_bytes(), control.to_be_bytes()].concat();
            self.bytes.splice(12..12, tag);
            self.linear += 4;
            self.shift(4);
        }
        self.tag = Some((ethertype, control.get()));
        Some(())
    }
    fn insert(&mut self, bytes: usize, content: Inserted) -> Option<()> {
        if !self.is_ip() && self.without_link.is_none() {
            return None;
        }
        let room = std::iter::repeat_n(0xa5, bytes);
        self.bytes.splice(ETHERNET..ETHERNET, room);
        self.linear += bytes;
        self.shift(isize::try_from(bytes).expect("small"));
        if self.segment != 0 && content != Inserted::OTHER {
            self.segment -= u32::try_from(bytes).expect("small");
        }
        Some(())
    }
    fn copy(&self, offset: usize, bytes: usize, target: &mut [u64; 8]) -> Option<()> {
        let source = self.bytes.get(offset..offset + bytes)?;
        target.as_mut_bytes()[..bytes].copy_from_slice(source);
        Some(())
    }
    fn remove(&mut self, bytes: usize) -> Option<()> {
        // The kernel keeps what it still has to compute.
        if self.unfinished.is_some() || ETHERNET + bytes > self.linear {
            return None;
        }
        self.bytes.drain(ETHERNET..ETHERNET + bytes);
        self.linear -= bytes;
        Some(())
    }
}
