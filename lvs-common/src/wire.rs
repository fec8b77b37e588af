//! Headers as they travel. Multi-byte fields are in network order by their type.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::abi::Mac;

/// Ethertype of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// Ethertype of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Ethertype of a VLAN tag (IEEE 802.1Q).
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// Ethertype of an outer VLAN tag (IEEE 802.1ad).
pub const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;

/// IP protocol numbers beside those of [`crate::connection::Protocol`].
pub mod protocol {
    #![expect(missing_docs, reason = "names of the IANA registry")]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IPIP: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const AUTHENTICATION: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const DESTINATION_OPTIONS: u8 = 60;
    pub const SCTP: u8 = 132;
}

/// Kinds of IPv4 options that the director tells from others.
pub mod option {
    #![expect(missing_docs, reason = "names of RFC 791")]
    pub const END: u8 = 0;
    pub const NOTHING: u8 = 1;
    pub const LOOSE_ROUTE: u8 = 131;
    pub const STRICT_ROUTE: u8 = 137;
}

macro_rules! headers {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)+ })+) => {
        $(
            $(#[$meta])*
            #[derive(
                Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
            )]
            #[repr(C)]
            pub struct $name {
                $($(#[$field_meta])* pub $field: $type,)+
            }
        )+
    };
}

headers! {
    /// Ethernet II.
    Ethernet {
        /// Destination.
        destination: Mac,
        /// Source.
        source: Mac,
        /// Ethertype.
        ethertype: U16,
    }

    /// A VLAN tag, as it follows an ethertype that announces it.
    Vlan {
        /// Priority (3 bits), drop eligible (1), id (12).
        control: U16,
        /// Ethertype of what follows the tag.
        ethertype: U16,
    }

    /// RFC 791, without options.
    Ipv4 {
        /// Version (4) and header length in words of four bytes.
        version_length: u8,
        /// Differentiated services and congestion notification.
        service: u8,
        /// Bytes of the packet.
        total_length: U16,
        /// Shared by the fragments of a packet.
        identification: U16,
        /// Flags (3 bits) and offset in words of eight bytes.
        fragment: U16,
        /// Time to live.
        ttl: u8,
        /// Protocol of the payload.
        protocol: u8,
        /// Of this header.
        checksum: [u8; 2],
        /// Source.
        source: [u8; 4],
        /// Destination.
        destination: [u8; 4],
    }

    /// RFC 8200.
    Ipv6 {
        /// Version (4 bits), traffic class (8), flow label (20).
        version_class_flow: U32,
        /// Bytes after this header.
        payload_length: U16,
        /// Protocol of what follows.
        next_header: u8,
        /// Hop limit.
        hop_limit: u8,
        /// Source.
        source: [u8; 16],
        /// Destination.
        destination: [u8; 16],
    }

    /// First two bytes of most IPv6 extension headers.
    Extension {
        /// Protocol of what follows.
        next_header: u8,
        /// Length: meaning depends on the header.
        length: u8,
    }

    /// The first twenty bytes behind an IP header: a TCP header (RFC 9293), or a UDP header (RFC 768) and
    /// what it carries.
    Transport {
        /// Ports.
        ports: Ports,
        /// UDP: length.
        length: [u8; 2],
        /// UDP: checksum.
        udp_checksum: [u8; 2],
        /// TCP: acknowledgment number.
        acknowledgment: [u8; 4],
        /// TCP: data offset.
        offset: u8,
        /// TCP: flags.
        flags: u8,
        /// TCP: window.
        window: [u8; 2],
        /// TCP: checksum.
        tcp_checksum: [u8; 2],
        /// TCP: urgent pointer.
        urgent: [u8; 2],
    }

    /// RFC 8200 section 4.5.
    FragmentHeader {
        /// Protocol of what follows.
        next_header: u8,
        /// Zero.
        reserved: u8,
        /// Offset in words of eight bytes (13 bits), two reserved, more fragments.
        offset: U16,
        /// Shared by the fragments of a packet.
        identification: U32,
    }

    /// RFC 9293, without options.
    Tcp {
        /// Both ports.
        ports: Ports,
        /// Number of the first byte.
        sequence: U32,
        /// Number of the byte expected next.
        acknowledgement: U32,
        /// Length of the header in words of four bytes (4 bits), reserved (4).
        offset: u8,
        /// Flags.
        flags: u8,
        /// Bytes that may be sent.
        window: U16,
        /// Checksum.
        checksum: [u8; 2],
        /// Urgent pointer.
        urgent: U16,
    }

    /// UDP (RFC 768) with a header of generic UDP encapsulation, version 0, without extension fields.
    Gue {
        /// Ports of UDP.
        ports: Ports,
        /// Bytes from here to the end of the packet.
        length: U16,
        /// Checksum of UDP; zero: there is none.
        checksum: [u8; 2],
        /// Version (2 bits), control (1), length of extension fields in words of four bytes (5): zero.
        version_length: u8,
        /// IP protocol number of the packet inside.
        protocol: u8,
        /// Flags: none.
        flags: U16,
    }

    /// RFC 2784, without checksum.
    Gre {
        /// Flags and version, see [`Gre::CHECKSUM`].
        flags: U16,
        /// Ethertype of the packet inside.
        protocol: U16,
    }

    /// The optional words of a [`Gre`] header with [`Gre::CHECKSUM`] (RFC 2784, section 2.3).
    GreChecksum {
        /// Over the GRE header and the packet inside.
        checksum: [u8; 2],
        /// Zero.
        reserved: [u8; 2],
    }

    /// ICMP and ICMPv6 errors.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Checksum.
        checksum: [u8; 2],
        /// Depends on the type: the MTU lies here.
        rest: U32,
    }
}

/// Source and destination port, network order, as they stand in a TCP, UDP or SCTP header.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct Ports {
    /// Source port.
    pub source: U16,
    /// Destination port.
    pub destination: U16,
}

impl Ports {
    /// The bytes of a header.
    pub const fn to_bytes(self) -> [u8; 4] {
        let [a, b] = self.source.to_bytes();
        let [c, d] = self.destination.to_bytes();
        [a, b, c, d]
    }

    /// The ports of the answer.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
        }
    }
}

/// The headers of a plain frame: no VLAN tag, neither options nor extension headers.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Headers<I> {
    /// Ethernet.
    pub ethernet: Ethernet,
    /// IP.
    pub internet: I,
    /// TCP or UDP.
    pub transport: Transport,
}

impl Gre {
    /// Bit of `flags`: a checksum follows.
    pub const CHECKSUM: u16 = 0x8000;
}

impl Ipv4 {
    /// Don't fragment.
    pub const DONT_FRAGMENT: u16 = 0x4000;
    /// More fragments.
    pub const MORE_FRAGMENTS: u16 = 0x2000;
    /// Offset in words of eight bytes.
    pub const OFFSET: u16 = 0x1fff;

    /// Bytes of the header with options.
    #[inline(always)]
    pub const fn header_length(&self) -> usize {
        ((self.version_length & 0xf) as usize) << 2
    }
}

/// Place of the data offset in a TCP header; the flags follow in the next byte.
pub const TCP_OFFSET: usize = 12;
/// Place of the checksum in a TCP header.
pub const TCP_CHECKSUM: usize = 16;
/// Place of the checksum in a UDP header.
pub const UDP_CHECKSUM: usize = 6;
/// Place of the checksum in an SCTP header.
pub const SCTP_CHECKSUM: usize = 8;
/// Place of the first chunk in an SCTP packet.
pub const SCTP_CHUNK: usize = 12;
