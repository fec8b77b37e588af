//! One entry of the connection table, as it lies in the map.

use zerocopy::byteorder::network_endian::U16;

use super::key::Key;
use crate::abi::{EthernetAddresses, Method};
use crate::family::{Family, V4, V6};

/// The server of a connection, and the service that scheduled it.
///
/// There are two layouts. Tables with room for [`crate::abi::SHORT_INDEXES`] servers at most hold both indexes in 16
/// bits each: no packet looks for its service. With room for more the server's is *long*: its upper half has the place
/// of the service's, and [`crate::abi::Server`] tells the service. [`super::Servers`] knows which of them tables have.
/// A daemon that does not know the second layout refuses such tables, by the length of their map of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Record {
    /// Server index, the lower half of a long one.
    pub(super) server: u16,
    /// Service index, or the upper half of the server's.
    pub(super) service: u16,
    /// [`crate::abi::Method`], as it was when the connection was scheduled, and bits of [`Record`]: `TRANSLATED`
    /// and the like.
    pub method: u8,
    /// Prefix length plus one by which its service groups clients; 0: the service is not persistent.
    /// [`Record::BY_CALL_ID`]: it has the real server of its call.
    pub persistence: u8,
}

impl Record {
    /// Bit of `method`: the connection counts among those its client has open.
    pub const COUNTED: u8 = 0x40;
    /// Bit of `method`: the packets of its client are limited, so that none takes the fast path.
    pub const PACED: u8 = 0x20;
    /// Bit of `method`: its first packet came by another way than the one that leads to its client (NAT).
    pub const ASYMMETRIC: u8 = 0x04;
    /// Bit of `method`: another server refused it or did not answer. What this one says goes to the client.
    pub const REDISPATCHED: u8 = 0x08;
    /// Bit of `method`: its service has timeouts of its own, which hold from the next change of its state on; or it is
    /// a control connection of FTP by NAT, whose packets the fast path leaves. Both ask for a closer look at one place.
    pub const OWN_TIMEOUT: u8 = 0x10;
    /// Bit of `method`: the real server does not see the client's own address and port, or is sent to another port than
    /// that of its service: the key of the replies' entry holds both ends as they are for it.
    pub const TRANSLATED: u8 = 0x80;

    /// `persistence` of a connection that belongs to a call: [`crate::abi::CONNECTION_CALLS`] says which.
    pub const BY_CALL_ID: u8 = u8::MAX;

    /// Returns whether the key of the replies' entry says what the real server sees.
    #[inline(always)]
    pub const fn is_translated(&self) -> bool {
        self.method & Self::TRANSLATED != 0
    }

    /// No server's: of an entry that was never written.
    pub const BLANK: Self = Self {
        server: 0,
        service: 0,
        method: 0,
        persistence: 0,
    };

    /// Of a connection whose service is not persistent, in the layout with long indexes or the other.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both halves are kept, or the tables end at 65,536 and 65,535"
    )]
    pub const fn new(server: u32, service: u32, method: Method, long: bool) -> Self {
        let second = if long { server >> 16 } else { service };
        Self {
            server: server as u16,
            service: second as u16,
            method: method as u8,
            persistence: 0,
        }
    }

    /// The same server and service with these bits.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, method: u8, persistence: u8) -> Self {
        Self {
            method,
            persistence,
            ..self
        }
    }

    /// As it lies in memory: both indexes, or the halves of a long one, and the two bytes behind them.
    pub const fn of_parts([server, service]: [u16; 2], method: u8, persistence: u8) -> Self {
        Self {
            server,
            service,
            method,
            persistence,
        }
    }

    /// Server index, in the layout with long indexes or the other.
    #[inline(always)]
    pub const fn server(&self, long: bool) -> u32 {
        let upper = if long { (self.service as u32) << 16 } else { 0 };
        upper | self.server as u32
    }

    /// Returns whether two records that are of the same tables have the same server.
    #[inline(always)]
    pub const fn has_server_of(&self, other: &Self) -> bool {
        // A server is of one service.
        self.server == other.server && self.service == other.service
    }
}

/// The way to a client, as the kernel's routes led when it was looked up: replies of NAT connections take it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Client {
    /// VLAN tag, network order; 0: none.
    pub vlan: U16,
    /// The lower half of [`crate::abi::Config::route_generation`] at the time: with another one now, the way
    /// is looked up again.
    pub generation: u16,
    /// Ethernet addresses of frames to the client, or to the router on the way.
    pub ethernet: EthernetAddresses,
    /// The interface by which packets leave; 0: no way is known. [`Client::BY_TC`] may be added. Of a connection
    /// without replies that pass the director, the one by which its first packet came.
    pub interface: u32,
}

impl Client {
    /// Bit of `interface`: frames leave there as socket buffers only.
    pub const BY_TC: u32 = 1 << 31;

    /// Index of the interface.
    #[inline(always)]
    pub const fn index(&self) -> u32 {
        self.interface & !Self::BY_TC
    }

    /// Returns whether the way still holds.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is kept")]
    pub const fn is_fresh(&self, generation: u32) -> bool {
        self.interface != 0 && self.generation == generation as u16
    }
}

/// An entry. A connection costs one, a NAT connection two.
///
/// Only [`super::Tag`] is ever changed by compare-and-exchange. `seen`, `packets` and `timeout` are plain
/// stores by whoever handles a packet; a late one that hits a way that was reused meanwhile does no harm: it
/// is overwritten by that connection's next packet. The way to the client is, too, and who stores it looks
/// afterwards whether the entry is still the same.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Entry<F: Family> {
    /// [`super::Tag`].
    pub tag: u32,
    /// Clock tick of the last packet.
    pub seen: u32,
    /// Its key.
    pub key: Key<F>,
    /// Server, service and method.
    pub record: Record,
    /// Packets from the client.
    pub packets: u32,
    /// Ticks without a packet after which the entry is expired.
    pub timeout: u32,
    /// Number of the entry for the other direction of a NAT connection plus one; numbers count ways from the
    /// start of the table. Of any other entry the clock tick of its first packet, see [`super::table::alone`].
    pub partner: u32,
    /// The way to the client.
    pub client: Client,
    /// In way 0: not 0 when a key of this set may live in its second set.
    pub hint: u32,
    /// Always zero.
    pub padding: F::Padding,
}

const _: () = {
    assert!(size_of::<Entry<V4>>() == 64);
    assert!(size_of::<Entry<V6>>() == 128);
    assert!(core::mem::offset_of!(Entry<V4>, key) == 8);
    assert!(core::mem::offset_of!(Entry<V6>, packets) < 64);
};
