//! A packet that is being forwarded: what it says, and where it goes.

use crate::abi::Method;
use crate::connection::{Key, Kind, Ports, Protocol, Signal};
use crate::ethernet::EthernetHeader;
use crate::family::Family;
use crate::network::Datagram;
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
        }
    }
}
