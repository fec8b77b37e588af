//! The packet that is rehearsed: the first of a connection, or one in the middle of it.

use std::net::SocketAddr;

use lvs_common::abi::Mac;
use lvs_common::checksum::Sum;
use lvs_common::connection::Protocol;
use lvs_common::packet::{Header, Inserted, MAX_OFFSET, Packet};
use zerocopy::byteorder::network_endian::U16;

use super::rehearsal::{RehearsedRoutes, State};

/// Bytes that a driver leaves before a frame (`XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;
const ETHERNET: usize = 14;
/// TTL or hop limit of most hosts' packets.
const HOPS: u8 = 64;

/// A packet of a client's.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientPacket {
    pub(super) client: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) protocol: Protocol,
    /// It begins a connection.
    pub(super) begins: bool,
    /// Ethernet address of the interface it comes by.
    pub(super) mac: Mac,
}

/// Payload of a rehearsed datagram: a SIP request with a new Call-ID, for services with the engine `sip`.
const NEW_CALL: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nCall-ID: ?\r\n\r\n";

impl ClientPacket {
    /// The packet's kind, for people.
    pub(super) const fn kind(&self) -> &'static str {
        match (self.protocol, self.begins) {
            (Protocol::Tcp, true) => "TCP SYN",
            (Protocol::Tcp, false) => "TCP ACK",
            (Protocol::Udp, _) => "UDP datagram",
            (Protocol::Sctp, true) => "SCTP INIT",
            (Protocol::Sctp, false) => "SCTP DATA",
        }
    }

    /// Its frame.
    pub(super) fn frame(&self) -> Vec<u8> {
        let transport = self.transport();
        let mut frame = self.mac.to_vec();
        // Locally administered: nothing depends on it.
        frame.extend([2, 0, 0, 0, 0, 1]);
        let length = u16::try_from(transport.len()).unwrap_or(0);
        match (self.client, self.to) {
            (SocketAddr::V4(client), SocketAddr::V4(to)) => {
                frame.extend(0x0800_u16.to_be_bytes());
                let mut header = vec![0x45, 0];
                header.extend((20 + length).to_be_bytes());
                // Don't fragment.
                header.extend([0, 0, 0x40, 0, HOPS, self.protocol.number(), 0, 0]);
                header.extend(client.ip().octets());
                header.extend(to.ip().octets());
                let sum = header
                    .as_chunks()
                    .0
                    .iter()
                    .fold(Sum::default(), |sum, word| sum.add(*word));
                if let Some(checksum) = header.get_mut(10..12) {
                    checksum.copy_from_slice(&sum.checksum());
                }
                frame.extend(header);
            }
            (client, to) => {
                frame.extend(0x86dd_u16.to_be_bytes());
                frame.extend([0x60, 0, 0, 0]);
                frame.extend(length.to_be_bytes());
                frame.extend([self.protocol.number(), HOPS]);
                for address in [client, to] {
                    frame.extend(crate::address::widen(address.ip()));
                }
            }
        }
        frame.extend(transport);
        frame
    }

    /// The header behind the IP header. Its checksum is nobody's business before the real server.
    fn transport(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = [self.client, self.to]
            .into_iter()
            .flat_map(|side| side.port().to_be_bytes())
            .collect();
        match self.protocol {
            Protocol::Tcp => {
                const SYN: u8 = 2;
                const ACK: u8 = 16;
                let flags = if self.begins { SYN } else { ACK };
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
            }
            Protocol::Udp => {
                let length = u16::try_from(8 + NEW_CALL.len()).unwrap_or(0);
                bytes.extend(length.to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(NEW_CALL);
            }
            Protocol::Sctp => {
                const DATA: u8 = 0;
                const INIT: u8 = 1;
                let chunk = if self.begins { INIT } else { DATA };
                // Verification tag, checksum, chunk of 20 bytes.
                bytes.extend([0; 8]);
                bytes.extend([chunk, 3, 0, 20]);
                bytes.extend([0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
            }
        }
        bytes
    }
}

/// A frame as a driver hands it over, or (`BUFFER`) the socket buffer that the kernel makes of it.
pub(super) struct RehearsedPacket<'s, const BUFFER: bool> {
    bytes: Vec<u8>,
    start: usize,
    interface: u32,
    state: &'s State<'s>,
    tag: Option<U16>,
    /// Ethertype of a packet that has no Ethernet header.
    without_link: Option<u16>,
}

impl<'s, const BUFFER: bool> RehearsedPacket<'s, BUFFER> {
    /// A frame that came by this interface, which has Ethernet headers or not.
    pub(super) fn new(
        frame: &[u8],
        interface: u32,
        has_ethernet: bool,
        state: &'s State<'s>,
    ) -> Self {
        let mut bytes = vec![0; HEADROOM];
        bytes.extend(frame);
        let ethertype = match frame {
            [.., _] if has_ethernet => None,
            [_, _, _, _, _, _, _, _, _, _, _, _, high, low, ..] => {
                Some(u16::from_be_bytes([*high, *low]))
            }
            _ => None,
        };
        let start = if has_ethernet {
            HEADROOM
        } else {
            HEADROOM + ETHERNET
        };
        Self {
            bytes,
            start,
            interface,
            state,
            tag: None,
            without_link: ethertype,
        }
    }
}

impl<'s, const BUFFER: bool> Packet for RehearsedPacket<'s, BUFFER> {
    const BUFFER: bool = BUFFER;

    type Routes = RehearsedRoutes<'s>;

    fn routes(&self) -> RehearsedRoutes<'s> {
        RehearsedRoutes(self.state)
    }

    fn length(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn interface(&self) -> u32 {
        self.interface
    }

    fn header<T: Header>(&self, offset: usize) -> Option<&T> {
        let start = self.start + Some(offset).filter(|offset| *offset <= MAX_OFFSET)?;
        T::ref_from_bytes(self.bytes.get(start..start + size_of::<T>())?).ok()
    }

    fn header_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        let start = self.start + Some(offset).filter(|offset| *offset <= MAX_OFFSET)?;
        T::mut_from_bytes(self.bytes.get_mut(start..start + size_of::<T>())?).ok()
    }

    fn grow(&mut self, bytes: usize) -> Option<()> {
        self.start = self.start.checked_sub(bytes)?;
        Some(())
    }

    fn shrink(&mut self, bytes: usize) -> Option<()> {
        if bytes + ETHERNET > self.length() {
            return None;
        }
        self.start += bytes;
        Some(())
    }

    /// The daemon would have taken it.
    fn hold(&mut self, _mtu: u32) -> bool {
        true
    }

    fn truncate(&mut self, length: usize) -> Option<()> {
        if length < ETHERNET || length > self.length() {
            return None;
        }
        self.bytes.truncate(self.start + length);
        Some(())
    }

    fn without_link(&self) -> Option<u16> {
        self.without_link
    }

    fn add_link_header(&mut self) -> Option<()> {
        self.without_link = None;
        self.grow(ETHERNET)?;
        self.header_mut::<[u8; ETHERNET]>(0)?.fill(0);
        Some(())
    }

    fn tag(&self) -> Option<U16> {
        self.tag
    }

    fn for_host(&self) -> Option<bool> {
        BUFFER.then_some(true)
    }

    fn pop_tag(&mut self) -> Option<()> {
        self.tag = None;
        Some(())
    }

    fn push_tag(&mut self, _ethertype: u16, control: U16) -> Option<()> {
        self.tag = Some(control);
        Some(())
    }

    fn insert(&mut self, bytes: usize, _content: Inserted) -> Option<()> {
        let behind = self.start + ETHERNET;
        self.bytes
            .splice(behind..behind, std::iter::repeat_n(0, bytes));
        Some(())
    }
}
