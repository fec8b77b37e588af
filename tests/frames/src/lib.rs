//! Frames as a test describes them: built from scratch with every checksum computed the plain way
//! of the RFCs, so that what the program updates is compared with what a host would send.

use std::fmt::Write as _;
use std::net::IpAddr;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// A packet in its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the headers' fields")]
pub struct Packet {
    /// Ethernet destination.
    pub to: Mac,
    /// Ethernet source.
    pub from: Mac,
    /// VLAN tags, outer first.
    pub tags: Vec<u16>,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hops: u8,
    /// Type of service or traffic class.
    pub class: u8,
    /// IPv4's identification, and that of an IPv6 fragment.
    pub identification: u32,
    pub dont_fragment: bool,
    /// IPv4 options, whole words.
    pub options: Vec<u8>,
    /// IPv6 extension headers: number and everything after its first byte.
    pub extensions: Vec<(u8, Vec<u8>)>,
    pub fragment: Option<Fragment>,
    pub content: Content,
}

/// Which fragment of a packet a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// First byte of the content that it carries, a multiple of 8.
    pub offset: usize,
    /// Number of bytes of the content; `None`: all the rest.
    pub length: Option<usize>,
}

/// What an IP packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the headers' fields")]
pub enum Content {
    Tcp {
        ports: [u16; 2],
        flags: u8,
        data: Vec<u8>,
    },
    /// A TCP reset with the number that [`Content::Tcp`] acknowledges.
    Reset { ports: [u16; 2] },
    /// A TCP reset with the sequence number of [`Content::Tcp`].
    ServerReset { ports: [u16; 2] },
    Udp {
        ports: [u16; 2],
        checksum: bool,
        data: Vec<u8>,
    },
    Sctp {
        ports: [u16; 2],
        chunk: u8,
        data: Vec<u8>,
    },
    Icmp {
        kind: u8,
        code: u8,
        rest: u32,
        data: Vec<u8>,
    },
    /// A whole packet (tunnel).
    Packet(Box<Packet>),
    /// Of some protocol.
    Other { protocol: u8, data: Vec<u8> },
}

impl Content {
    /// The same with other ports.
    #[must_use]
    pub fn with_ports(mut self, new: [u16; 2]) -> Self {
        match &mut self {
            Self::Tcp { ports, .. }
            | Self::Reset { ports }
            | Self::ServerReset { ports }
            | Self::Udp { ports, .. }
            | Self::Sctp { ports, .. } => *ports = new,
            Self::Icmp { .. } | Self::Packet(_) | Self::Other { .. } => {}
        }
        self
    }

    fn protocol(&self, v4: bool) -> u8 {
        match self {
            Self::Tcp { .. } | Self::Reset { .. } | Self::ServerReset { .. } => 6,
            Self::Udp { .. } => 17,
            Self::Sctp { .. } => 132,
            Self::Icmp { .. } if v4 => 1,
            Self::Icmp { .. } => 58,
            Self::Packet(inner) if inner.source.is_ipv4() => 4,
            Self::Packet(_) => 41,
            Self::Other { protocol, .. } => *protocol,
        }
    }

    /// The bytes, with a checksum over them and the addresses.
    fn bytes(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let v4 = source.is_ipv4();
        let seal = |mut bytes: Vec<u8>, place: usize, pseudo: bool, zero_is_none: bool| {
            let mut covered = Vec::new();
            if pseudo {
                let length = u32::try_from(bytes.len()).unwrap_or(0);
                covered.extend(octets(source));
                covered.extend(octets(destination));
                covered.extend(length.to_be_bytes());
                covered.extend(u32::from(self.protocol(v4)).to_be_bytes());
            }
            covered.extend(&bytes);
            let sum = match checksum(&covered) {
                0 if zero_is_none => 0xffff,
                sum => sum,
            };
            bytes[place..place + 2].copy_from_slice(&sum.to_be_bytes());
            bytes
        };
        match self {
            Self::Tcp { ports, flags, data } => {
                let mut bytes = words(ports);
                bytes.extend([0, 0, 0, 7, 0, 0, 0, 9, 5 << 4, *flags, 0x20, 0, 0, 0, 0, 0]);
                bytes.extend(data);
                seal(bytes, 16, true, false)
            }
            Self::Reset { ports } => {
                let mut bytes = words(ports);
                bytes.extend([0, 0, 0, 9, 0, 0, 0, 0, 5 << 4, 4, 0, 0, 0, 0, 0, 0]);
                seal(bytes, 16, true, false)
            }
            Self::ServerReset { ports } => {
                let mut bytes = words(ports);
                bytes.extend([0, 0, 0, 7, 0, 0, 0, 0, 5 << 4, 4, 0, 0, 0, 0, 0, 0]);
                seal(bytes, 16, true, false)
            }
            Self::Udp {
                ports,
                checksum,
                data,
            } => {
                let mut bytes = words(ports);
                bytes.extend(words(&[8 + u16::try_from(data.len()).unwrap_or(0), 0]));
                bytes.extend(data);
                if *checksum {
                    seal(bytes, 6, true, true)
                } else {
                    bytes
                }
            }
            Self::Sctp { ports, chunk, data } => {
                let mut bytes = words(ports);
                bytes.extend([0, 0, 0, 5, 0, 0, 0, 0, *chunk, 0]);
                bytes.extend(words(&[4 + u16::try_from(data.len()).unwrap_or(0)]));
                bytes.extend(data);
                let crc = crc32c(&bytes).to_le_bytes();
                bytes[8..12].copy_from_slice(&crc);
                bytes
            }
            Self::Icmp {
                kind,
                code,
                rest,
                data,
            } => {
                let mut bytes = vec![*kind, *code, 0, 0];
                bytes.extend(rest.to_be_bytes());
                bytes.extend(data);
                seal(bytes, 2, !v4, false)
            }
            Self::Packet(inner) => inner.ip(),
            Self::Other { data, .. } => data.clone(),
        }
    }
}

impl Packet {
    /// A frame without tags, options and fragmentation, 64 hops to go.
    pub fn new(source: IpAddr, destination: IpAddr, content: Content) -> Self {
        Self {
            to: [2, 0, 0, 0, 0, 0xd],
            from: [2, 0, 0, 0, 0, 0xc],
            tags: Vec::new(),
            source,
            destination,
            hops: 64,
            class: 0,
            identification: 0x1234,
            dont_fragment: false,
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: None,
            content,
        }
    }

    /// The frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = [self.to, self.from].concat();
        for (index, tag) in self.tags.iter().enumerate() {
            let last = index + 1 == self.tags.len();
            // IEEE 802.1ad: an outer tag in front of another is a service tag.
            frame.extend(words(&[if last { 0x8100 } else { 0x88a8 }, *tag]));
        }
        frame.extend(words(&[if self.source.is_ipv4() {
            0x0800
        } else {
            0x86dd
        }]));
        frame.extend(self.ip());
        frame
    }

    /// The IP packet.
    pub fn ip(&self) -> Vec<u8> {
        let whole = self.content.bytes(self.source, self.destination);
        let (offset, end) = self.fragment.map_or((0, whole.len()), |fragment| {
            let end = fragment
                .length
                .map_or(whole.len(), |length| fragment.offset + length);
            (fragment.offset, end)
        });
        let part = &whole[offset..end];
        let place = u16::try_from(offset).unwrap_or(0);
        let more = end < whole.len();
        if self.source.is_ipv4() {
            self.ipv4(part, place, more)
        } else {
            self.ipv6(part, place, more)
        }
    }

    fn ipv4(&self, part: &[u8], offset: u16, more: bool) -> Vec<u8> {
        let length = 20 + self.options.len();
        let mut header = vec![0x40 | u8::try_from(length / 4).unwrap_or(0xf), self.class];
        let flags = u16::from(self.dont_fragment) << 14 | u16::from(more) << 13;
        #[expect(clippy::cast_possible_truncation, reason = "16 bits in IPv4")]
        header.extend(words(&[
            u16::try_from(length + part.len()).unwrap_or(u16::MAX),
            self.identification as u16,
            flags | (offset / 8),
        ]));
        header.extend([self.hops, self.content.protocol(true), 0, 0]);
        header.extend(octets(self.source));
        header.extend(octets(self.destination));
        header.extend(&self.options);
        let sum = checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
        header.extend(part);
        header
    }

    fn ipv6(&self, part: &[u8], offset: u16, more: bool) -> Vec<u8> {
        const FRAGMENT: u8 = 44;
        let mut chain = self.extensions.clone();
        if self.fragment.is_some() {
            let mut rest = vec![0];
            rest.extend((offset | u16::from(more)).to_be_bytes());
            rest.extend(self.identification.to_be_bytes());
            chain.push((FRAGMENT, rest));
        }
        let mut next = self.content.protocol(false);
        let mut payload = part.to_vec();
        for (number, rest) in chain.iter().rev() {
            payload = [&[next], &rest[..], &payload].concat();
            next = *number;
        }
        let mut header = (6 << 28 | u32::from(self.class) << 20)
            .to_be_bytes()
            .to_vec();
        header.extend(words(&[u16::try_from(payload.len()).unwrap_or(u16::MAX)]));
        header.extend([next, self.hops]);
        header.extend(octets(self.source));
        header.extend(octets(self.destination));
        header.extend(payload);
        header
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// The internet checksum of RFC 1071.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// RFC 9260 appendix A, bit by bit.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 {
                crc >> 1
            } else {
                crc >> 1 ^ 0x82f6_3b78
            };
        }
    }
    !crc
}

/// Two frames beside each other where they differ, sixteen bytes a line.
pub fn difference(expected: &[u8], found: &[u8]) -> String {
    let mut text = format!("{} bytes expected, {} found\n", expected.len(), found.len());
    for start in (0..expected.len().max(found.len())).step_by(16) {
        let row = |frame: &[u8]| {
            let bytes = frame.iter().skip(start).take(16);
            bytes.fold(String::new(), |mut row, byte| {
                let _ = write!(row, "{byte:02x} ");
                row
            })
        };
        let (expected, found) = (row(expected), row(found));
        if expected != found {
            let _ = writeln!(text, "{start:4}: {expected}\n  not {found}");
        }
    }
    text
}
