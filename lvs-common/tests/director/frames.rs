//! Frames, written field by field with every checksum computed from scratch: what the director makes
//! of one frame is compared with another one written here, byte by byte.

use std::net::{IpAddr, SocketAddr};

use lvs_common::abi::{Address, Mac};

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
    /// Offset in bytes, length of this piece, and whether more follow.
    pub(crate) fragment: Option<(usize, usize, bool)>,
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

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("below 64 KiB").to_be_bytes()
}

/// The internet checksum (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).expect("folded")).to_be_bytes()
}

/// CRC32c (RFC 9260 appendix A), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

fn pseudo(from: IpAddr, to: IpAddr, protocol: u8, segment: &[u8]) -> Vec<u8> {
    let mut bytes = [octets(from), octets(to)].concat();
    bytes.extend([0, 0]);
    bytes.extend(short(segment.len()));
    bytes.extend([0, protocol]);
    bytes.extend(segment);
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
        })
    }

    /// As it leaves for a real server by the hop that [`super::plain`] gives every server.
    pub(crate) fn forwarded(self) -> Self {
        self.with(|draft| {
            draft.macs = (SERVER, DIRECTOR);
            draft.ttl -= 1;
        })
    }

    /// The reset that answers a segment of [`Draft::tcp`]: the number it carries is the one that the
    /// segment acknowledges.
    pub(crate) fn reset(&self) -> Self {
        let mut bytes = self.to.port().to_be_bytes().to_vec();
        bytes.extend(self.from.port().to_be_bytes());
        bytes.extend([0, 0, 0, 2, 0, 0, 0, 0, 0x50, RST, 0, 0, 0, 0, 0, 0]);
        let sum = checksum(&pseudo(self.to.ip(), self.from.ip(), 6, &bytes));
        bytes[16..18].copy_from_slice(&sum);
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
            payload: Payload::Other(6, bytes),
        }
    }

    /// As it leaves for the client.
    pub(crate) fn returned(self) -> Self {
        self.with(|draft| {
            draft.macs = (CLIENT, DIRECTOR);
            draft.ttl -= 1;
        })
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let ethertype: u16 = if self.from.is_ipv4() { 0x0800 } else { 0x86dd };
        let mut bytes = [self.macs.0, self.macs.1].concat();
        for (index, tag) in self.tags.iter().enumerate() {
            let outer = index == 0 && self.tags.len() == 2;
            bytes.extend(if outer { [0x88, 0xa8] } else { [0x81, 0x00] });
            bytes.extend(tag.to_be_bytes());
        }
        bytes.extend(ethertype.to_be_bytes());
        bytes.extend(self.packet());
        bytes
    }

    /// The IP packet alone.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let (protocol, mut segment) = self.segment();
        if let Some((offset, length, _)) = self.fragment {
            segment = segment[offset..offset + length].to_vec();
        }
        if self.from.is_ipv4() {
            self.ipv4(protocol, &segment)
        } else {
            self.ipv6(protocol, &segment)
        }
    }

    fn ipv4(&self, protocol: u8, segment: &[u8]) -> Vec<u8> {
        let length = 20 + self.options.len();
        let mut fragment = if self.dont_fragment { 0x4000 } else { 0 };
        if let Some((offset, _, more)) = self.fragment {
            fragment = u16::try_from(offset / 8).expect("small") | u16::from(more) << 13;
        }
        let words = u8::try_from(length / 4).expect("small");
        let mut header = vec![0x40 | words, self.class];
        header.extend(short(length + segment.len()));
        header.extend(self.identification.to_be_bytes());
        header.extend(fragment.to_be_bytes());
        header.extend([self.ttl, protocol, 0, 0]);
        header.extend(octets(self.from.ip()));
        header.extend(octets(self.to.ip()));
        header.extend(&self.options);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum);
        header.extend(segment);
        header
    }

    fn ipv6(&self, protocol: u8, segment: &[u8]) -> Vec<u8> {
        let mut extensions = self.extensions.clone();
        if let Some((offset, _, more)) = self.fragment {
            let place = u16::try_from(offset).expect("small") | u16::from(more);
            let mut body = vec![0, 0];
            body.extend(place.to_be_bytes());
            body.extend(u32::from(self.identification).to_be_bytes());
            extensions.push((44, body));
        }
        let kinds: Vec<u8> = extensions
            .iter()
            .map(|(kind, _)| *kind)
            .chain([protocol])
            .collect();
        let mut rest = Vec::new();
        for ((_, body), next) in extensions.iter().zip(&kinds[1..]) {
            rest.push(*next);
            rest.extend(&body[1..]);
        }
        rest.extend(segment);
        let word = 6 << 28 | u32::from(self.class) << 20;
        let mut header = word.to_be_bytes().to_vec();
        header.extend(short(rest.len()));
        header.extend([kinds[0], self.ttl]);
        header.extend(octets(self.from.ip()));
        header.extend(octets(self.to.ip()));
        header.extend(rest);
        header
    }

    fn segment(&self) -> (u8, Vec<u8>) {
        let (from, to) = (self.from.ip(), self.to.ip());
        let mut bytes = self.from.port().to_be_bytes().to_vec();
        bytes.extend(self.to.port().to_be_bytes());
        match &self.payload {
            Payload::Tcp { flags, data } => {
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, *flags, 0xff, 0xff, 0, 0, 0, 0]);
                bytes.extend(data);
                let sum = checksum(&pseudo(from, to, 6, &bytes));
                bytes[16..18].copy_from_slice(&sum);
                (6, bytes)
            }
            Payload::Udp {
                data,
                checksum: has,
            } => {
                bytes.extend(short(8 + data.len()));
                bytes.extend([0, 0]);
                bytes.extend(data);
                if *has {
                    let sum = match checksum(&pseudo(from, to, 17, &bytes)) {
                        [0, 0] => [0xff, 0xff],
                        sum => sum,
                    };
                    bytes[6..8].copy_from_slice(&sum);
                }
                (17, bytes)
            }
            Payload::Sctp { chunk, data } => {
                bytes.extend([0, 0, 0, 7, 0, 0, 0, 0, *chunk, 0]);
                bytes.extend(short(4 + data.len()));
                bytes.extend(data);
                let crc = crc32c(&bytes);
                bytes[8..12].copy_from_slice(&crc.to_le_bytes());
                (132, bytes)
            }
            Payload::Icmp(kind, code, rest, inside) => {
                let mut bytes = vec![*kind, *code, 0, 0];
                bytes.extend(rest.to_be_bytes());
                bytes.extend(inside);
                let protocol = if self.from.is_ipv4() { 1 } else { 58 };
                let sum = if self.from.is_ipv4() {
                    checksum(&bytes)
                } else {
                    checksum(&pseudo(from, to, 58, &bytes))
                };
                bytes[2..4].copy_from_slice(&sum);
                (protocol, bytes)
            }
            Payload::Other(protocol, bytes) => (*protocol, bytes.clone()),
        }
    }
}
