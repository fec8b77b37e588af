//! IPv4 (RFC 791).

use zerocopy::byteorder::network_endian::U16;

use super::{Datagram, Network, Outer, Part, Plain};
use crate::checksum::Sum;
use crate::family::V4;
use crate::packet::Packet;
use crate::verdict::Reason;
use crate::walk::{Step, Walk};
use crate::wire::{ETHERTYPE_IPV4, Ipv4, option, protocol};

/// The sum over a header without its options: all ones if it is as it was sent.
#[inline(always)]
const fn sum(header: &Ipv4) -> Sum {
    let [first, second, third, source, destination]: [[u8; 4]; 5] = zerocopy::transmute!(*header);
    let sum = Sum(0).add(first).add(second).add(third);
    sum.add(source).add(destination)
}

/// A walk along the options of a header, word by word.
#[repr(C, align(8))]
struct Options<'a, P> {
    packet: &'a P,
    offset: usize,
    sum: Sum,
}

impl<P: Packet> Step for Options<'_, P> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let Some(word) = self.packet.header::<[u8; 4]>(self.offset) else {
            return false;
        };
        self.sum = self.sum.add(*word);
        self.offset += 4;
        true
    }
}

/// A walk along the options of a header, byte by byte.
#[repr(C, align(8))]
struct Kinds<'a, P> {
    packet: &'a P,
    offset: usize,
    /// Bytes of the option at hand that are still to come.
    left: u32,
    place: Place,
}

/// The place of a walk along options.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Place {
    /// Before an option, or behind the last one.
    Between,
    /// Behind the kind of one.
    BeforeLength,
    /// Behind its length.
    Inside,
    /// At one that is not allowed.
    Refused,
}

impl<P: Packet> Step for Kinds<'_, P> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        // A verifier sees no bound of a single byte.
        let word = (index as usize) & !3;
        let Some(word) = self.packet.header::<[u8; 4]>(self.offset + word) else {
            return false;
        };
        #[expect(clippy::cast_possible_truncation, reason = "the lowest byte is meant")]
        let byte = (u32::from_le_bytes(*word) >> ((index & 3) * 8)) as u8;
        let (place, left) = match self.place {
            Place::Between => match byte {
                option::END => return false,
                option::NOTHING => (Place::Between, 0),
                option::LOOSE_ROUTE | option::STRICT_ROUTE => (Place::Refused, 0),
                _ => (Place::BeforeLength, 0),
            },
            Place::BeforeLength => match byte {
                0 | 1 => (Place::Refused, 0),
                2 => (Place::Between, 0),
                length => (Place::Inside, u32::from(length) - 2),
            },
            Place::Inside if self.left > 1 => (Place::Inside, self.left - 1),
            Place::Inside => (Place::Between, 0),
            Place::Refused => return false,
        };
        (self.place, self.left) = (place, left);
        place != Place::Refused
    }
}

impl V4 {
    #[inline(always)]
    fn datagram(header: &Ipv4, offset: usize, datagram: &mut Datagram<Self>) {
        let fragment = header.fragment.get();
        datagram.part = if fragment & (Ipv4::OFFSET | Ipv4::MORE_FRAGMENTS) == 0 {
            Part::Whole
        } else if fragment & Ipv4::OFFSET == 0 {
            Part::First
        } else {
            Part::Later
        };
        datagram.network = offset;
        datagram.transport = offset + header.header_length();
        datagram.end = offset + usize::from(header.total_length.get());
        datagram.source = header.source;
        datagram.destination = header.destination;
        datagram.protocol = header.protocol;
        datagram.hop_limit = header.ttl;
        datagram.identification = u32::from(header.identification.get());
    }
}

impl Network for V4 {
    type Header = Ipv4;
    const HEADER: usize = 20;
    const ETHERTYPE: u16 = ETHERTYPE_IPV4;
    const INSIDE: u8 = protocol::IPIP;
    /// `AF_INET`.
    const SOCKET_FAMILY: u8 = 2;
    const ICMP: u8 = protocol::ICMP;
    /// RFC 1812 section 4.3.2.3.
    const LARGEST_ERROR: usize = 576;
    const SMALLEST_MTU: u32 = 68;

    #[inline(always)]
    fn parse<P: Packet, W: Walk>(
        packet: &P,
        _walker: W,
        offset: usize,
        datagram: &mut Datagram<Self>,
    ) -> Result<(), Reason> {
        let header: &Ipv4 = packet.header(offset).ok_or(Reason::Truncated)?;
        Self::datagram(header, offset, datagram);
        // A super-packet too long for the field: `iph_totlen`.
        if P::BUFFER && header.total_length.get() == 0 && packet.segment() != 0 {
            datagram.end = packet.length();
        }
        if header.version_length >> 4 != 4
            || header.header_length() < Self::HEADER
            || datagram.end < datagram.transport
        {
            return Err(Reason::BadLength);
        }
        if datagram.end > packet.length() {
            return Err(Reason::Truncated);
        }
        // RFC 1858: such a fragment would overwrite the TCP flags of the first one.
        if header.fragment.get() & Ipv4::OFFSET == 1 && header.protocol == protocol::TCP {
            return Err(Reason::FragmentOverlap);
        }
        Ok(())
    }

    #[inline(always)]
    fn parse_embedded<P: Packet, W: Walk>(
        packet: &P,
        _walker: W,
        offset: usize,
        datagram: &mut Datagram<Self>,
    ) -> Option<()> {
        let header: &Ipv4 = packet.header(offset)?;
        Self::datagram(header, offset, datagram);
        (header.version_length >> 4 == 4 && header.header_length() >= Self::HEADER).then_some(())
    }

    #[inline(always)]
    fn plain(header: &Ipv4, room: usize) -> Option<Plain<Self>> {
        let length = header.total_length.get();
        let whole = header.fragment.get() & (Ipv4::OFFSET | Ipv4::MORE_FRAGMENTS) == 0;
        (header.version_length == 0x45 && whole && usize::from(length) <= room).then_some(Plain {
            source: header.source,
            destination: header.destination,
            protocol: header.protocol,
            hop_limit: header.ttl,
            length: u32::from(length),
        })
    }

    #[inline(always)]
    fn addresses(header: &Ipv4) -> [[u8; 4]; 2] {
        [header.source, header.destination]
    }

    #[inline(always)]
    fn decrement_ttl(header: &mut Ipv4) {
        header.ttl = header.ttl.wrapping_sub(1);
        // The TTL is the first byte of its word: one less there is 0x0100 more in the checksum.
        header.checksum = Sum::default().remove_field([1, 0]).update(header.checksum);
    }

    #[inline(always)]
    fn replace(header: &mut Ipv4, source: &[u8; 4], destination: &[u8; 4], change: Sum) {
        header.checksum = change.update(header.checksum);
        header.source = *source;
        header.destination = *destination;
    }

    #[inline(always)]
    fn difference(old: [&[u8; 4]; 2], new: [&[u8; 4]; 2]) -> Sum {
        let ([from, to], [source, destination]) = (old, new);
        Sum::default()
            .remove(*from)
            .remove(*to)
            .add(*source)
            .add(*destination)
    }

    #[inline(always)]
    fn class(header: &Ipv4) -> (u8, bool) {
        let dont_fragment = header.fragment.get() & Ipv4::DONT_FRAGMENT != 0;
        (header.service, dont_fragment)
    }

    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the caller keeps packets below 64 KiB"
    )]
    fn write_outer<P: Packet>(
        packet: &mut P,
        offset: usize,
        outer: &Outer<'_, Self>,
    ) -> Option<()> {
        let fragment = if outer.dont_fragment {
            Ipv4::DONT_FRAGMENT
        } else {
            0
        };
        let header: &mut Ipv4 = packet.header_mut(offset)?;
        header.version_length = 0x45;
        header.service = outer.class;
        header.total_length = U16::new((outer.payload + 20) as u16);
        header.identification = U16::new(outer.identification);
        header.fragment = U16::new(fragment);
        header.ttl = outer.hop_limit;
        header.protocol = outer.protocol;
        header.source = *outer.source;
        header.destination = *outer.destination;
        header.checksum = Sum::default()
            .add_field([0x45, outer.class])
            .add_field(header.total_length.to_bytes())
            .add_field(header.identification.to_bytes())
            .add_field(header.fragment.to_bytes())
            .add_field([outer.hop_limit, outer.protocol])
            .add(*outer.source)
            .add(*outer.destination)
            .checksum();
        Some(())
    }

    #[inline(always)]
    fn icmp_pseudo(_source: &[u8; 4], _destination: &[u8; 4], _bytes: u32) -> Sum {
        Sum::default()
    }

    #[inline(always)]
    fn pseudo(source: &[u8; 4], destination: &[u8; 4], protocol: u8, bytes: u32) -> Sum {
        Sum::default()
            .add(*source)
            .add(*destination)
            .add(bytes.to_be_bytes())
            .add([0, 0, 0, protocol])
    }

    #[inline(always)]
    fn sum(header: &Ipv4) -> Sum {
        sum(header)
    }

    #[inline(always)]
    fn is_too_big(kind: u8, code: u8) -> bool {
        kind == 3 && code == 4
    }

    /// RFC 1191 section 4: the upper half is unused.
    #[inline(always)]
    fn named_mtu(rest: u32) -> u32 {
        rest & 0xffff
    }

    #[inline(always)]
    fn is_icmp_error(kind: u8) -> bool {
        matches!(kind, 3 | 4 | 11)
    }

    #[inline(always)]
    fn is_unanswerable(kind: u8) -> bool {
        !matches!(kind, 0 | 8 | 13 | 14)
    }

    #[inline(always)]
    fn is_martian(address: &[u8; 4]) -> bool {
        let [first, ..] = *address;
        // As `ip_route_input_slow` has it: of 0/8 only the unspecified address, and of what follows multicast
        // only the limited broadcast.
        matches!(first, 127 | 224..=239) || matches!(*address, [0, 0, 0, 0] | [255, 255, 255, 255])
    }

    #[inline(always)]
    fn is_loopback(address: &[u8; 4]) -> bool {
        let [first, ..] = *address;
        first == 127
    }

    #[inline(always)]
    fn is_intact(header: &Ipv4) -> bool {
        sum(header).checksum() == [0, 0]
    }

    #[inline(always)]
    fn has_intact_header<P: Packet, W: Walk>(
        packet: &P,
        walker: W,
        datagram: &Datagram<Self>,
    ) -> bool {
        let Some(header) = packet.header::<Ipv4>(datagram.network) else {
            return false;
        };
        let mut options = Options {
            packet,
            offset: datagram.network + Self::HEADER,
            sum: sum(header),
        };
        let bytes = datagram.transport.wrapping_sub(options.offset);
        if bytes != 0 {
            #[expect(clippy::cast_possible_truncation, reason = "at most ten words")]
            walker.walk((bytes >> 2) as u32 & 0xf, &mut options);
        }
        options.sum.checksum() == [0, 0]
    }

    /// Source routes are refused as by a kernel without `accept_source_route`, which is off by default.
    #[inline(always)]
    fn has_sound_options<P: Packet, W: Walk>(
        packet: &P,
        walker: W,
        datagram: &Datagram<Self>,
    ) -> bool {
        let offset = datagram.network + Self::HEADER;
        let bytes = datagram.transport.wrapping_sub(offset);
        if bytes == 0 {
            return true;
        }
        let mut kinds = Kinds {
            packet,
            offset,
            left: 0,
            place: Place::Between,
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 40")]
        walker.walk(bytes as u32 & 0x3f, &mut kinds);
        kinds.place == Place::Between
    }
}
