//! A packet that is being forwarded: what it says, and where it goes.

use super::icmp_error::Answer;
use crate::abi::Method;
use crate::connection::{Key, Kind, Ports, Protocol, Signal};
use crate::ethernet::EthernetHeader;
use crate::family::Family;
use crate::network::Datagram;
use crate::tables::Traffic;
use crate::verdict::Reason;

/// A packet that is being forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Forward<F: Family> {
    /// The interface it came by.
    pub interface: u32,
    /// Its Ethernet header.
    pub ethernet: EthernetHeader,
    /// Its IP header.
    pub datagram: Datagram<F>,
    /// It as it is on the wire.
    pub wire: Wire,
    /// Its transport protocol; `None` for an ICMP error about a connection.
    pub protocol: Option<Protocol>,
    /// Its flags or first chunk, as far as they concern its connection.
    pub signal: Signal,
    /// Its ports.
    pub ports: Ports,
    /// Hash of its flow; 0 until somebody needs it.
    pub hash: u64,
    /// The clock.
    pub now: u32,
    /// Its route, once that is known.
    pub route: Route,
    /// Its addresses and ports afterwards (NAT).
    pub rewrite: Rewrite<F>,
    /// The ICMP error that it is answered with, if it is.
    pub answer: Answer,
}

impl<F: Family> Forward<F> {
    /// Key of its connection.
    #[inline(always)]
    pub const fn key(&self, kind: Kind) -> Key<F> {
        Key {
            source: self.datagram.source,
            destination: self.datagram.destination,
            ports: self.ports,
            protocol: self.datagram.protocol,
            kind: kind as u8,
        }
    }
}

/// A packet as it is on the wire: of a super-packet, those that it becomes.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// The traffic that is counted.
    pub traffic: Traffic,
    /// Bytes of the largest IP packet.
    pub largest: u32,
    /// A super-packet whose packets are TCP segments: their size can be changed.
    pub resizable: bool,
}

impl Wire {
    /// A packet of so many bytes.
    #[inline(always)]
    pub const fn one(bytes: u32) -> Self {
        Self {
            traffic: Traffic { packets: 1, bytes },
            largest: bytes,
            resizable: false,
        }
    }

    /// A packet of so many bytes, of which so many are headers: its IP header and what comes between that and
    /// its data. `segment` and `packets` as in [`crate::packet::Packet`].
    #[inline(always)]
    pub fn of(segment: u32, packets: u32, bytes: u32, headers: u32, protocol: Protocol) -> Self {
        if segment == 0 {
            return Self::one(bytes);
        }
        let repeated = headers.wrapping_mul(packets.wrapping_sub(1));
        Self {
            traffic: Traffic {
                packets,
                bytes: bytes.wrapping_add(repeated),
            },
            // Of a super-packet with packets of any size (`GSO_BY_FRAGS`) its sender has seen to it that they fit.
            largest: if segment == SEGMENTS_OF_ANY_SIZE {
                headers
            } else {
                headers.wrapping_add(segment)
            },
            resizable: protocol == Protocol::Tcp,
        }
    }
}

/// `GSO_BY_FRAGS`: what a super-packet of SCTP has for a size.
const SEGMENTS_OF_ANY_SIZE: u32 = 0xffff;

/// New addresses and ports.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite<F: Family> {
    /// Source address.
    pub source: F::Address,
    /// Destination address.
    pub destination: F::Address,
    /// Ports.
    pub ports: Ports,
}

/// The server that a packet goes to, and the method by which it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Server index.
    pub server: u32,
    /// Forwarding method.
    pub method: Method,
    /// The reason to count.
    pub reason: Reason,
    /// The source that the server sees (NAT).
    pub source: Source,
}

/// The source address and port as which a real server behind NAT sees a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The packet's own.
    Client,
    /// That of the connection in [`super::Work::number`].
    Connection,
    /// It stands in [`Forward::rewrite`], with the server's port.
    Known,
}

impl Route {
    /// The route to a server, counted by its method.
    #[inline(always)]
    pub const fn new(server: u32, method: Method) -> Self {
        let reason = match method {
            Method::Nat => Reason::Nat,
            Method::Local => Reason::Local,
            Method::Tunnel => Reason::Tunnel,
            Method::Direct => Reason::Direct,
        };
        Self {
            server,
            method,
            reason,
            source: Source::Client,
        }
    }
}
