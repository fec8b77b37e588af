//! One entry of the connection table, as it lies in the map.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::abi::{Mac, Method};
use crate::family::{Family, V4, V6};

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
    /// As they stand in a header.
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

/// What an entry stands for; part of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A connection, found by packets from the client.
    Request = 0,
    /// The reply direction of a NAT connection, found by packets from the real server.
    Reply = 1,
    /// A persistence template: source is the client's network, both ports as IPVS sets them.
    Template = 2,
}

impl Kind {
    /// Total: what no writer writes is a request.
    pub const fn from_raw(raw: u8) -> Self {
        match raw {
            1 => Self::Reply,
            2 => Self::Template,
            _ => Self::Request,
        }
    }
}

/// What an entry is found by: the packet's own addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Key<F: Family> {
    /// Source address of the packets.
    pub source: F::Address,
    /// Destination address of the packets.
    pub destination: F::Address,
    /// Ports of the packets.
    pub ports: Ports,
    /// IP protocol number.
    pub protocol: u8,
    /// [`Kind`].
    pub kind: u8,
}

impl<F: Family> Key<F> {
    /// All but the addresses.
    #[inline(always)]
    pub(crate) const fn rest(&self) -> u64 {
        let ports = u32::from_ne_bytes(self.ports.to_bytes()) as u64;
        ports | (u16::from_ne_bytes([self.protocol, self.kind]) as u64) << 32
    }
}

/// What belongs to a connection beside its key, its state and its client's whereabouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Record {
    /// Server index.
    pub server: u16,
    /// Service index.
    pub service: u16,
    /// [`crate::abi::Method`], as it was when the connection was scheduled.
    pub method: u8,
    /// Prefix length plus one by which its service groups clients; 0: the service is not persistent.
    pub persistence: u8,
}

impl Record {
    /// Of a connection whose service is not persistent.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the tables end at 65,536 and 8,192"
    )]
    pub const fn new(server: u32, service: u32, method: Method) -> Self {
        Self {
            server: server as u16,
            service: service as u16,
            method: method as u8,
            persistence: 0,
        }
    }
}

/// Where a client is heard: replies of NAT connections go there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Client {
    /// VLAN tags, outer first, network order, of the client's packets.
    pub vlan: [U16; 2],
    /// The client's, or its router's, address.
    pub mac: Mac,
    /// The director's own address that the packets came to.
    pub director: Mac,
    /// The interface they came by.
    pub interface: u32,
}

/// An entry. A connection costs one, a NAT connection two.
///
/// Only [`Tag`] is ever changed by compare-and-exchange. `seen`, `packets`, `timeout` and the
/// client's whereabouts are plain stores by whoever handles a packet; a late one that hits a way that
/// was reused meanwhile does no harm: it is overwritten by that connection's next packet.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Entry<F: Family> {
    /// [`Tag`].
    pub tag: u32,
    /// Clock tick of the last packet.
    pub seen: u32,
    /// What it is found by.
    pub key: Key<F>,
    /// Server, service and method.
    pub record: Record,
    /// Packets from the client.
    pub packets: u32,
    /// Ticks without a packet after which the entry is expired.
    pub timeout: u32,
    /// Number of the entry for the other direction of a NAT connection plus one; 0: none. Numbers
    /// count ways from the start of the table.
    pub partner: u32,
    /// Where the client was last heard.
    pub client: Client,
    /// In way 0: not 0 when a key of this set may live in its second set.
    pub hint: u32,
    /// Always zero.
    pub padding: F::Padding,
}

/// State, generation and fingerprint of a way, in the one word that decides who owns it.
///
/// Everything that accounting depends on lies in this word, so that whoever wins an exchange knows
/// exactly what it ended: a state change and a deletion can never both be counted from the same
/// state.
///
/// | bits | meaning |
/// |---|---|
/// | 0-3 | 0 free, 1 busy (claimed, not yet readable), else protocol state plus 2 |
/// | 4 | half-open: may be recycled |
/// | 5-17 | generation, one more each time the way is claimed |
/// | 18-31 | fingerprint of the key |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tag(pub u32);

impl Tag {
    /// Bits that are zero in a free way.
    pub const PHASE: u32 = 0xf;
    const BUSY: u32 = 1;
    const FIRST_STATE: u32 = 2;
    /// Bit of what may be recycled when a set is short of room.
    pub const HALF_OPEN: u32 = 1 << 4;
    const GENERATION: u32 = 0x3_ffe0;
    const GENERATION_ONE: u32 = 1 << 5;
    /// Bits of the fingerprint.
    pub const FINGERPRINT: u32 = 0xfffc_0000;

    /// What tells free, busy and live ways apart, and whether it may be recycled: [`Tag::PHASE`] and
    /// [`Tag::HALF_OPEN`].
    #[inline(always)]
    pub const fn condition(self) -> u32 {
        self.0 & (Self::PHASE | Self::HALF_OPEN)
    }

    /// The fingerprint as a number below 2 to the 14th.
    #[inline(always)]
    pub const fn print(self) -> u32 {
        self.0 >> Self::FINGERPRINT.trailing_zeros()
    }

    /// No connection, may be claimed.
    #[inline(always)]
    pub const fn is_free(self) -> bool {
        self.0 & Self::PHASE == 0
    }

    /// A connection lives here.
    #[inline(always)]
    pub const fn is_live(self) -> bool {
        self.0 & Self::PHASE >= Self::FIRST_STATE
    }

    /// Somebody is writing or removing a connection here.
    #[inline(always)]
    pub const fn is_busy(self) -> bool {
        self.0 & Self::PHASE == Self::BUSY
    }

    /// May be recycled when a set is short of room.
    #[inline(always)]
    pub const fn is_half_open(self) -> bool {
        self.0 & Self::HALF_OPEN != 0
    }

    /// Protocol state; meaningful while live.
    #[inline(always)]
    pub const fn state(self) -> u8 {
        ((self.0 & Self::PHASE).wrapping_sub(Self::FIRST_STATE) & 0xf) as u8
    }

    /// Whether the fingerprint is this one (in place, see [`Tag::FINGERPRINT`]).
    #[inline(always)]
    pub const fn has_fingerprint(self, fingerprint: u32) -> bool {
        (self.0 ^ fingerprint) & Self::FINGERPRINT == 0
    }

    /// The same connection: generation and fingerprint agree, whatever became of its state.
    #[inline(always)]
    pub const fn same_connection(self, other: Self) -> bool {
        (self.0 ^ other.0) & (Self::FINGERPRINT | Self::GENERATION) == 0
    }

    /// The claim of a free (or recycled) way for a new connection.
    #[inline(always)]
    #[must_use]
    pub const fn claimed(self, fingerprint: u32) -> Self {
        let generation =
            (self.0 & Self::GENERATION).wrapping_add(Self::GENERATION_ONE) & Self::GENERATION;
        Self(generation | (fingerprint & Self::FINGERPRINT) | Self::BUSY)
    }

    /// A claimed way once its connection is written, or a live one in its next state.
    #[inline(always)]
    #[must_use]
    pub const fn live(self, state: u8, half_open: bool) -> Self {
        let kept = self.0 & (Self::FINGERPRINT | Self::GENERATION);
        let half_open = if half_open { Self::HALF_OPEN } else { 0 };
        Self(kept | half_open | ((state as u32).wrapping_add(Self::FIRST_STATE) & Self::PHASE))
    }

    /// The same connection with nothing to be said about its state.
    #[inline(always)]
    #[must_use]
    pub const fn busy(self) -> Self {
        Self((self.0 & !Self::PHASE) | Self::BUSY)
    }

    /// On its way out: busy, and no fingerprint that an inserter would wait for.
    #[inline(always)]
    #[must_use]
    pub const fn leaving(self) -> Self {
        Self((self.0 & Self::GENERATION) | Self::BUSY)
    }

    /// Free again; the generation stays so that the next claim has another.
    #[inline(always)]
    #[must_use]
    pub const fn freed(self) -> Self {
        Self(self.0 & Self::GENERATION)
    }
}

const _: () = {
    assert!(size_of::<Entry<V4>>() == 64);
    assert!(size_of::<Entry<V6>>() == 128);
    assert!(core::mem::offset_of!(Entry<V4>, key) == 8);
    assert!(core::mem::offset_of!(Entry<V6>, packets) < 64);
};
