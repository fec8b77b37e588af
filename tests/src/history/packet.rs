//! Packets of clients.

use std::fmt;
use std::net::{IpAddr, SocketAddrV4};

use crate::frames::{self, Content};

/// The kind of a packet: TCP by its flags, or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of TCP's flags, and UDP")]
pub enum Kind {
    Syn,
    Ack,
    Fin,
    Rst,
    Udp,
}

/// A packet of a client to a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its kind.
    pub kind: Kind,
    /// The client.
    pub client: SocketAddrV4,
    /// The virtual address and port.
    pub service: SocketAddrV4,
    /// Bytes of data.
    pub length: u8,
}

impl Packet {
    /// Its frame, with a number that is still there when a director has forwarded it: IPv4's identification.
    pub(super) fn frame(&self, number: u16) -> Vec<u8> {
        let ports = [self.client.port(), self.service.port()];
        let data = vec![b'.'; self.length.into()];
        let content = match self.flags() {
            Some(flags) => Content::Tcp { ports, flags, data },
            None => Content::Udp {
                ports,
                data,
                checksum: true,
            },
        };
        let [client, service] = [self.client, self.service].map(|end| IpAddr::V4(*end.ip()));
        let mut packet = frames::Packet::new(client, service, content);
        packet.identification = number.into();
        packet.frame()
    }

    const fn flags(&self) -> Option<u8> {
        match self.kind {
            Kind::Syn => Some(0x02),
            Kind::Ack => Some(0x10),
            Kind::Fin => Some(0x11),
            Kind::Rst => Some(0x04),
            Kind::Udp => None,
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Syn => "syn",
            Kind::Ack => "ack",
            Kind::Fin => "fin",
            Kind::Rst => "rst",
            Kind::Udp => "udp",
        };
        let (client, service, length) = (self.client, self.service, self.length);
        write!(out, "{kind} {client} {service} with {length} bytes")
    }
}
