//! The two internet protocols: from a frame to a [`Datagram`], and what forwarding changes in it.

mod ipv4;
mod ipv6;

use crate::abi::FragmentKey;
use crate::checksum::Sum;
use crate::family::Family;
use crate::packet::{Header, Packet};
use crate::verdict::Reason;
use crate::walk::Walk;

/// The part of a packet that this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The first fragment, with the ports.
    First,
    /// A later fragment, without ports.
    Later,
}

/// The fields of an IP header, and where things are in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<F: Family> {
    /// Offset of the IP header.
    pub network: usize,
    /// Offset of the transport header (in a later fragment: of its data).
    pub transport: usize,
    /// Offset after the last byte that belongs to the IP packet.
    pub end: usize,
    /// Source address.
    pub source: F::Address,
    /// Destination address.
    pub destination: F::Address,
    /// Protocol of the transport header.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// The part of a packet that this is.
    pub part: Part,
    /// Shared by the fragments of a packet; without meaning in a whole one.
    pub identification: u32,
}

/// The fields of a plain header, see [`Network::plain`].
#[derive(Clone, Copy, Debug)]
pub struct Plain<F: Family> {
    /// Source address.
    pub source: F::Address,
    /// Destination address.
    pub destination: F::Address,
    /// Protocol of the payload.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Bytes of the IP packet.
    pub length: u32,
}

impl<F: Family> Datagram<F> {
    /// Before a packet is parsed.
    pub fn blank() -> Self {
        let address = F::narrow(&[0; 16]);
        Self {
            network: 0,
            transport: 0,
            end: 0,
            source: address,
            destination: address,
            protocol: 0,
            hop_limit: 0,
            part: Part::Whole,
            identification: 0,
        }
    }

    /// Source and destination.
    #[inline(always)]
    pub const fn addresses(&self) -> [&F::Address; 2] {
        [&self.source, &self.destination]
    }

    /// The key that the fragments of a packet have in common.
    #[inline(always)]
    pub fn fragment_key(&self) -> FragmentKey {
        FragmentKey {
            source: F::widen(self.source),
            destination: F::widen(self.destination),
            identification: self.identification,
            protocol: u32::from(self.protocol),
        }
    }

    /// Bytes of the IP packet.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 64 KiB and a header"
    )]
    pub const fn length(&self) -> u32 {
        self.end.wrapping_sub(self.network) as u32
    }
}

/// The header of an IP packet that the director makes: around one in a tunnel, or of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Outer<'a, F: Family> {
    /// Source address.
    pub source: &'a F::Address,
    /// Destination address.
    pub destination: &'a F::Address,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Traffic class, congestion notification included.
    pub class: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// True if the packet may not be fragmented (IPv4).
    pub dont_fragment: bool,
    /// IPv4 identification.
    pub identification: u16,
    /// Bytes after the header.
    pub payload: u32,
}

/// An internet protocol.
pub trait Network: Family {
    /// The header as it travels.
    type Header: Header;
    /// Bytes of the header that [`Network::write_outer`] writes.
    const HEADER: usize;
    /// Its ethertype.
    const ETHERTYPE: u16;
    /// Its protocol number inside another IP packet.
    const INSIDE: u8;
    /// Its number as an address family of sockets.
    const SOCKET_FAMILY: u8;
    /// Its ICMP's protocol number.
    const ICMP: u8;
    /// Bytes of an ICMP error at most, IP header included.
    const LARGEST_ERROR: usize;
    /// Smallest MTU a packet-too-big may name.
    const SMALLEST_MTU: u32;

    /// Reads the header at `offset` and all extension headers.
    ///
    /// # Errors
    ///
    /// The reason to drop a packet that is cut short or lies about its lengths.
    fn parse<P: Packet, W: Walk>(
        packet: &P,
        walker: W,
        offset: usize,
        datagram: &mut Datagram<Self>,
    ) -> Result<(), Reason>;
    /// Reads a header that stands inside an ICMP error: the packet may be cut off behind it.
    fn parse_embedded<P: Packet, W: Walk>(
        packet: &P,
        walker: W,
        offset: usize,
        datagram: &mut Datagram<Self>,
    ) -> Option<()>;
    /// Reads a header without options or extension headers of a packet that is whole and fits into
    /// so many bytes. `None`: it is none of these, or no right header at all.
    fn plain(header: &Self::Header, room: usize) -> Option<Plain<Self>>;
    /// Source and destination.
    fn addresses(header: &Self::Header) -> [Self::Address; 2];
    /// Decrements the TTL or hop limit; the caller checked that it is above one.
    fn decrement_ttl(header: &mut Self::Header);
    /// Replaces addresses; `change` is that of sums over them.
    fn replace(
        header: &mut Self::Header,
        source: &Self::Address,
        destination: &Self::Address,
        change: Sum,
    );
    /// The change of sums over both addresses.
    fn difference(old: [&Self::Address; 2], new: [&Self::Address; 2]) -> Sum;
    /// [`Network::replace`] in a frame.
    #[inline(always)]
    fn readdress<P: Packet>(
        packet: &mut P,
        datagram: &Datagram<Self>,
        source: &Self::Address,
        destination: &Self::Address,
    ) -> Option<()> {
        let change = Self::difference(datagram.addresses(), [source, destination]);
        let header = packet.header_mut(datagram.network)?;
        Self::replace(header, source, destination, change);
        Some(())
    }
    /// The fields that an outer header takes over: traffic class and the don't-fragment bit.
    fn class(header: &Self::Header) -> (u8, bool);
    /// Writes a whole header.
    fn write_outer<P: Packet>(packet: &mut P, offset: usize, outer: &Outer<'_, Self>)
    -> Option<()>;
    /// Pseudo-header part of an ICMP checksum.
    fn icmp_pseudo(source: &Self::Address, destination: &Self::Address, bytes: u32) -> Sum;
    /// Sum of the pseudo-header of a TCP segment or UDP datagram with so many bytes (RFC 9293 section 3.1, RFC 8200
    /// section 8.1).
    fn pseudo(source: &Self::Address, destination: &Self::Address, protocol: u8, bytes: u32)
    -> Sum;
    /// Sum over a header without its options.
    fn sum(header: &Self::Header) -> Sum;
    /// Returns whether an ICMP error says that a packet was too big.
    fn is_too_big(kind: u8, code: u8) -> bool;
    /// The MTU in the last word of such an error.
    fn named_mtu(rest: u32) -> u32;
    /// Returns whether an ICMP type is an error that is relayed.
    fn is_icmp_error(kind: u8) -> bool;
    /// Returns whether an ICMP type must never be answered with an error.
    fn is_unanswerable(kind: u8) -> bool;
    /// An address that no packet on a wire comes from: the kernel drops such packets before IPVS sees them,
    /// and nobody answers them.
    fn is_martian(address: &Self::Address) -> bool;
    /// Of these, one that an interface may be told to accept.
    fn is_loopback(address: &Self::Address) -> bool;
    /// Returns whether a header without options is as it was sent, by its checksum if it has one.
    fn is_intact(header: &Self::Header) -> bool;
    /// The same in a frame, with options.
    fn has_intact_header<P: Packet, W: Walk>(
        packet: &P,
        walker: W,
        datagram: &Datagram<Self>,
    ) -> bool;
    /// Returns whether each option is whole, and none says the packet's way (`ip_rcv_options`).
    fn has_sound_options<P: Packet, W: Walk>(
        packet: &P,
        walker: W,
        datagram: &Datagram<Self>,
    ) -> bool;
}
