//! Frames between named ends, written by [`lvs_frames`] with every checksum computed from scratch: what the
//! director makes of one frame is compared with another one written here, byte by byte.

use std::net::{IpAddr, SocketAddr};

use lvs_common::abi::{Address, Mac};
use lvs_frames::{Content, Fragment, Packet};

pub(crate) const CLIENT: Mac = [2, 0, 0, 0, 0, 0xc];
pub(crate) const DIRECTOR: Mac = [2, 0, 0, 0, 0, 0xd];
pub(crate) const SERVER: Mac = [2, 0, 0, 0, 0, 0x5];

pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;
pub(crate) const FIN: u8 = 17;
pub(crate) const RST: u8 = 4;

/// What the IP header carries.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Tcp {
        flags: u8,
        data: Vec<u8>,
    },
    Udp {
        data: Vec<u8>,
        checksum: bool,
    },
    Sctp {
        chunk: u8,
        data: Vec<u8>,
    },
    /// Type, code, second word, and the packet inside.
    Icmp(u8, u8, u32, Vec<u8>),
    /// A protocol number and its bytes.
    Other(u8, Vec<u8>),
    /// A TCP reset that answers a segment of [`Payload::Tcp`].
    Reset,
    /// A TCP reset in the place of such a segment.
    ServerReset,
}

/// A frame to be.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) macs: (Mac, Mac),
    /// VLAN tags, outer first.
    pub(crate) tags: Vec<u16>,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) ttl: u8,
    pub(crate) class: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) identification: u16,
    /// IPv4 options (whole words), or nothing.
    pub(crate) options: Vec<u8>,
    /// IPv6 extension headers: kind and body; the first byte of the body is overwritten.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    /// Offset and length in bytes of this piece.
    pub(crate) fragment: Option<(usize, usize)>,
    pub(crate) payload: Payload,
}

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

/// An address in the form that all maps share.
pub(crate) fn wide(address: IpAddr) -> Address {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes = address.octets(),
    }
    bytes
}

impl Draft {
    fn new(from: &str, to: &str, payload: Payload) -> Self {
        Self {
            macs: (DIRECTOR, CLIENT),
            tags: Vec::new(),
            from: at(from),
            to: at(to),
            ttl: 64,
            class: 0,
            dont_fragment: true,
            identification: 0x1234,
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: None,
            payload,
        }
    }

    pub(crate) fn tcp(from: &str, to: &str, flags: u8) -> Self {
        let data = b"segment".to_vec();
        Self::new(from, to, Payload::Tcp { flags, data })
    }

    pub(crate) fn udp(from: &str, to: &str) -> Self {
        let (data, checksum) = (b"datagram".to_vec(), true);
        Self::new(from, to, Payload::Udp { data, checksum })
    }

    pub(crate) fn sctp(from: &str, to: &str, chunk: u8) -> Self {
        let data = b"of a chunk, somewhat longer".to_vec();
        Self::new(from, to, Payload::Sctp { chunk, data })
    }

    /// An error about another packet; ports do not matter.
    pub(crate) fn icmp(from: &str, to: &str, error: (u8, u8, u32), about: Vec<u8>) -> Self {
        let (kind, code, rest) = error;
        Self::new(from, to, Payload::Icmp(kind, code, rest, about))
    }

    pub(crate) fn other(from: &str, to: &str, protocol: u8, bytes: Vec<u8>) -> Self {
        Self::new(from, to, Payload::Other(protocol, bytes))
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The same with that much data.
    pub(crate) fn sized(self, bytes: usize) -> Self {
        self.with(|draft| match &mut draft.payload {
            Payload::Tcp { data, .. } | Payload::Udp { data, .. } | Payload::Sctp { data, .. } => {
                data.resize(bytes, 0x5a);
            }
            Payload::Icmp(.., data) | Payload::Other(_, data) => data.resize(bytes, 0x5a),
            Payload::Reset | Payload::ServerReset => {}
        })
    }

    /// As it leaves for a real server by the hop that [`super::memory`] gives every server.
    pub(crate) fn forwarded(self) -> Self {
        self.with(|draft| {
            draft.macs = (SERVER, DIRECTOR);
            draft.ttl -= 1;
        })
    }

    /// The reset that answers a segment of [`Draft::tcp`]: the number it carries is the one that the
    /// segment acknowledges.
    pub(crate) fn reset(&self) -> Self {
        Self {
            macs: (CLIENT, DIRECTOR),
            tags: self.tags.clone(),
            from: self.to,
            to: self.from,
            ttl: 64,
            class: 0,
            dont_fragment: true,
            identification: 0,
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: None,
            payload: Payload::Reset,
        }
    }

    /// The reset of the server's side that a segment of [`Draft::tcp`] becomes.
    pub(crate) fn server_reset(&self) -> Self {
        self.clone().with(|draft| {
            draft.class = 0;
            draft.dont_fragment = true;
            draft.identification = 0;
            draft.options.clear();
            draft.extensions.clear();
            draft.payload = Payload::ServerReset;
        })
    }

    /// As it leaves for the client.
    pub(crate) fn returned(self) -> Self {
        self.with(|draft| {
            draft.macs = (CLIENT, DIRECTOR);
            draft.ttl -= 1;
        })
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        self.built().frame()
    }

    /// The IP packet alone.
    pub(crate) fn packet(&self) -> Vec<u8> {
        self.built().ip()
    }

    fn built(&self) -> Packet {
        let extensions = self.extensions.iter();
        Packet {
            to: self.macs.0,
            from: self.macs.1,
            tags: self.tags.clone(),
            hops: self.ttl,
            class: self.class,
            identification: self.identification.into(),
            dont_fragment: self.dont_fragment && self.fragment.is_none(),
            options: self.options.clone(),
            extensions: extensions
                .map(|(kind, body)| (*kind, body[1..].to_vec()))
                .collect(),
            fragment: self.fragment.map(|(offset, length)| Fragment {
                offset,
                length: Some(length),
            }),
            ..Packet::new(self.from.ip(), self.to.ip(), self.content())
        }
    }

    fn content(&self) -> Content {
        let ports = [self.from.port(), self.to.port()];
        match self.payload.clone() {
            Payload::Tcp { flags, data } => Content::Tcp { ports, flags, data },
            Payload::Udp { data, checksum } => Content::Udp {
                ports,
                checksum,
                data,
            },
            Payload::Sctp { chunk, data } => Content::Sctp { ports, chunk, data },
            Payload::Icmp(kind, code, rest, data) => Content::Icmp {
                kind,
                code,
                rest,
                data,
            },
            Payload::Other(protocol, data) => Content::Other { protocol, data },
            Payload::Reset => Content::Reset { ports },
            Payload::ServerReset => Content::ServerReset { ports },
        }
    }
}
