//! IPv6 (RFC 8200).

use zerocopy::byteorder::network_endian::{U16, U32};

use super::{Datagram, Network, Outer, Part, Plain};
use crate::checksum::Sum;
use crate::family::V6;
use crate::packet::Packet;
use crate::verdict::Reason;
use crate::walk::{Step, Walk};
use crate::wire::{ETHERTYPE_IPV6, Extension, FragmentHeader, Ipv6, protocol};

/// Extension headers the director follows.
const MAX_EXTENSIONS: u32 = 6;

/// Furthest a transport header may lie from the start of the frame.
const MAX_TRANSPORT: usize = 511;

/// A walk along the extension headers from `datagram.protocol` at `datagram.transport`.
#[repr(C, align(8))]
struct Chain<'a, P> {
    packet: &'a P,
    datagram: &'a mut Datagram<V6>,
    trouble: Option<Reason>,
}

const fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION_OPTIONS
    )
}

/// Follows the extension headers, if there are any.
#[inline(always)]
fn follow<P: Packet, W: Walk>(
    packet: &P,
    walker: W,
    datagram: &mut Datagram<V6>,
) -> Result<(), Reason> {
    if !is_extension(datagram.protocol) {
        return Ok(());
    }
    let mut chain = Chain {
        packet,
        datagram,
        trouble: None,
    };
    walker.walk(MAX_EXTENSIONS, &mut chain);
    if let Some(trouble) = chain.trouble {
        return Err(trouble);
    }
    if datagram.part != Part::Later && is_extension(datagram.protocol) {
        return Err(Reason::HeaderChain);
    }
    Ok(())
}

impl<P: Packet> Step for Chain<'_, P> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        match self.next() {
            Ok(more) => more,
            Err(trouble) => {
                self.trouble = Some(trouble);
                false
            }
        }
    }
}

impl<P: Packet> Chain<'_, P> {
    /// Goes past one header; says whether another may follow.
    #[inline(always)]
    fn next(&mut self) -> Result<bool, Reason> {
        let place = self.datagram.transport;
        if self.datagram.protocol == protocol::FRAGMENT {
            let header: &FragmentHeader = self.packet.header(place).ok_or(Reason::Truncated)?;
            let offset = header.offset.get();
            self.datagram.identification = header.identification.get();
            self.datagram.protocol = header.next_header;
            self.datagram.transport = place + 8;
            if offset & !7 != 0 {
                // What follows is a piece of the payload, no header.
                self.datagram.part = Part::Later;
                return Ok(false);
            }
            if offset & 1 != 0 {
                self.datagram.part = Part::First;
            }
        } else {
            let header: &Extension = self.packet.header(place).ok_or(Reason::Truncated)?;
            // RFC 4302 section 2.2: the authentication header counts in words of four bytes.
            let length = if self.datagram.protocol == protocol::AUTHENTICATION {
                (usize::from(header.length) + 2) << 2
            } else {
                (usize::from(header.length) + 1) << 3
            };
            self.datagram.protocol = header.next_header;
            self.datagram.transport = place + length;
        }
        if self.datagram.transport > MAX_TRANSPORT {
            return Err(Reason::HeaderChain);
        }
        Ok(is_extension(self.datagram.protocol))
    }
}

impl V6 {
    /// Reads the fixed header. False: it is none.
    #[inline(always)]
    fn datagram<P: Packet>(
        packet: &P,
        offset: usize,
        datagram: &mut Datagram<Self>,
    ) -> Result<(), Reason> {
        let header: &Ipv6 = packet.header(offset).ok_or(Reason::Truncated)?;
        if header.version_class_flow.get() >> 28 != 6 {
            return Err(Reason::BadLength);
        }
        datagram.network = offset;
        datagram.transport = offset + Self::HEADER;
        datagram.end = offset + Self::HEADER + usize::from(header.payload_length.get());
        // A super-packet too long for the field: `ipv6_has_hopopt_jumbo`.
        if P::BUFFER && header.payload_length.get() == 0 && packet.segment() != 0 {
            datagram.end = packet.length();
        }
        datagram.source = header.source;
        datagram.destination = header.destination;
        datagram.protocol = header.next_header;
        datagram.hop_limit = header.hop_limit;
        datagram.part = Part::Whole;
        datagram.identification = 0;
        Ok(())
    }
}

impl Network for V6 {
    type Header = Ipv6;
    const HEADER: usize = 40;
    const ETHERTYPE: u16 = ETHERTYPE_IPV6;
    const INSIDE: u8 = protocol::IPV6;
    /// `AF_INET6`.
    const SOCKET_FAMILY: u8 = 10;
    const ICMP: u8 = protocol::ICMPV6;
    /// RFC 4443 section 2.4 (c).
    const LARGEST_ERROR: usize = 1280;
    const SMALLEST_MTU: u32 = 1280;

    #[inline(always)]
    fn parse<P: Packet, W: Walk>(
        packet: &P,
        walker: W,
        offset: usize,
        datagram: &mut Datagram<Self>,
    ) -> Result<(), Reason> {
        Self::datagram(packet, offset, datagram)?;
        if datagram.end > packet.length() {
            return Err(Reason::Truncated);
        }
        follow(packet, walker, datagram)?;
        if datagram.transport > datagram.end {
            return Err(Reason::BadLength);
        }
        Ok(())
    }

    #[inline(always)]
    fn parse_embedded<P: Packet, W: Walk>(
        packet: &P,
        walker: W,
        offset: usize,
        datagram: &mut Datagram<Self>,
    ) -> Option<()> {
        Self::datagram(packet, offset, datagram).ok()?;
        follow(packet, walker, datagram).ok()
    }

    #[inline(always)]
    fn plain(header: &Ipv6, room: usize) -> Option<Plain<Self>> {
        let length = Self::HEADER + usize::from(header.payload_length.get());
        let version = header.version_class_flow.get() >> 28;
        #[expect(clippy::cast_possible_truncation, reason = "below 64 KiB and a header")]
        let plain = Plain {
            source: header.source,
            destination: header.destination,
            protocol: header.next_header,
            hop_limit: header.hop_limit,
            length: length as u32,
        };
        (version == 6 && length <= room).then_some(plain)
    }

    #[inline(always)]
    fn addresses(header: &Ipv6) -> [[u8; 16]; 2] {
        [header.source, header.destination]
    }

    #[inline(always)]
    fn decrement_ttl(header: &mut Ipv6) {
        header.hop_limit = header.hop_limit.wrapping_sub(1);
    }

    #[inline(always)]
    fn replace(header: &mut Ipv6, source: &[u8; 16], destination: &[u8; 16], _change: Sum) {
        header.source = *source;
        header.destination = *destination;
    }

    #[inline(always)]
    fn difference(old: [&[u8; 16]; 2], new: [&[u8; 16]; 2]) -> Sum {
        let ([from, to], [source, destination]) = (old, new);
        Sum::default()
            .remove_wide(from)
            .remove_wide(to)
            .add_wide(source)
            .add_wide(destination)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "eight bits are meant")]
    fn class(header: &Ipv6) -> (u8, bool) {
        // IPVS leaves the outer packet of an IPv6 one fragmentable.
        ((header.version_class_flow.get() >> 20) as u8, false)
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
        let header: &mut Ipv6 = packet.header_mut(offset)?;
        header.version_class_flow = U32::new(6 << 28 | u32::from(outer.class) << 20);
        header.payload_length = U16::new(outer.payload as u16);
        header.next_header = outer.protocol;
        header.hop_limit = outer.hop_limit;
        header.source = *outer.source;
        header.destination = *outer.destination;
        Some(())
    }

    #[inline(always)]
    fn icmp_pseudo(source: &[u8; 16], destination: &[u8; 16], bytes: u32) -> Sum {
        Sum::default()
            .add_wide(source)
            .add_wide(destination)
            .add(bytes.to_be_bytes())
            .add([0, 0, 0, Self::ICMP])
    }

    #[inline(always)]
    fn pseudo(source: &[u8; 16], destination: &[u8; 16], protocol: u8, bytes: u32) -> Sum {
        Sum::default()
            .add_wide(source)
            .add_wide(destination)
            .add(bytes.to_be_bytes())
            .add([0, 0, 0, protocol])
    }

    #[inline(always)]
    fn sum(header: &Ipv6) -> Sum {
        let words: [[u8; 4]; 10] = zerocopy::transmute!(*header);
        words
            .iter()
            .fold(Sum::default(), |sum, word| sum.add(*word))
    }

    #[inline(always)]
    fn is_too_big(kind: u8, _code: u8) -> bool {
        kind == 2
    }

    #[inline(always)]
    fn named_mtu(rest: u32) -> u32 {
        rest
    }

    #[inline(always)]
    fn is_icmp_error(kind: u8) -> bool {
        kind < 128
    }

    #[inline(always)]
    fn is_unanswerable(kind: u8) -> bool {
        kind < 128 || kind == 137
    }

    #[inline(always)]
    fn is_martian(address: &[u8; 16]) -> bool {
        let [first, ..] = *address;
        let [high, low]: [u64; 2] = zerocopy::transmute!(*address);
        let low = u64::from_be(low);
        // As `ip6_rcv_core` has it, and `::`; 0xffff is the prefix of mapped IPv4 addresses.
        first == 0xff || high == 0 && (low <= 1 || low >> 32 == 0xffff)
    }

    /// `ip6_rcv_core` accepts it from the loopback interface alone.
    #[inline(always)]
    fn is_loopback(_address: &[u8; 16]) -> bool {
        false
    }

    #[inline(always)]
    fn is_intact(_header: &Ipv6) -> bool {
        true
    }

    #[inline(always)]
    fn has_intact_header<P: Packet, W: Walk>(
        _packet: &P,
        _walker: W,
        _datagram: &Datagram<Self>,
    ) -> bool {
        true
    }

    /// Extension headers are read by whoever the packet is for.
    #[inline(always)]
    fn has_sound_options<P: Packet, W: Walk>(
        _packet: &P,
        _walker: W,
        _datagram: &Datagram<Self>,
    ) -> bool {
        true
    }
}
