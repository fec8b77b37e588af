//! Plain packets: whole, without VLAN tags, options and extension headers.

use crate::abi::{Config, Hop, Server};
use crate::connection::{Key, Kind, Protocol, Signal, tcp};
use crate::ethernet::{ETHERNET, EthernetHeader, UNTAGGED};
use crate::network::{Network, Plain};
use crate::tables::Tables;
use crate::wire::{Headers, Transport};

/// A plain packet: the fields that decide about it, read once.
pub(super) struct PlainPacket<'a, F: Network> {
    pub(super) config: &'a Config,
    pub(super) plain: Plain<F>,
    pub(super) protocol: Protocol,
    pub(super) signal: Signal,
    pub(super) interface: u32,
    pub(super) now: u32,
}

impl<'a, F: Network> PlainPacket<'a, F> {
    /// Reads a packet that came by this interface, in a frame of so many bytes.
    #[inline(always)]
    pub(super) fn read<T: Tables + 'a>(
        headers: &Headers<F::Header>,
        length: usize,
        interface: u32,
        tables: T,
    ) -> Option<Self> {
        let (plain, protocol, signal) = read_headers::<F>(headers, length)?;
        Some(Self {
            config: tables.config()?,
            plain,
            protocol,
            signal,
            interface,
            now: tables.now(),
        })
    }

    #[inline(always)]
    pub(super) fn timeout(&self, state: u8) -> u32 {
        self.config.timeout(self.protocol, state)
    }

    #[inline(always)]
    pub(super) fn key(&self, kind: Kind, headers: &Headers<F::Header>) -> Key<F> {
        Key {
            source: self.plain.source,
            destination: self.plain.destination,
            ports: headers.transport.ports,
            protocol: self.plain.protocol,
            kind: kind as u8,
        }
    }
}

/// The fields of the headers, in a frame of so many bytes; `None`: it is no plain packet.
#[inline(always)]
pub(super) fn read_headers<F: Network>(
    headers: &Headers<F::Header>,
    length: usize,
) -> Option<(Plain<F>, Protocol, Signal)> {
    let plain = F::plain(&headers.internet, length.wrapping_sub(ETHERNET))?;
    let (protocol, signal) = transport(&headers.transport, &plain)?;
    Some((plain, protocol, signal))
}

/// Protocol and signal of the packet.
#[inline(always)]
fn transport<F: Network>(header: &Transport, plain: &Plain<F>) -> Option<(Protocol, Signal)> {
    #[expect(clippy::cast_possible_truncation, reason = "20 or 40")]
    let least = |bytes| plain.length >= F::HEADER as u32 + bytes;
    match Protocol::from_number(plain.protocol)? {
        Protocol::Tcp if least(20) => {
            let event = tcp::Event::from_flags(header.flags)?;
            Some((Protocol::Tcp, Signal::Tcp(event)))
        }
        Protocol::Udp if least(8) => Some((Protocol::Udp, Signal::Udp)),
        _ => None,
    }
}

/// The Ethernet header of a plain packet.
#[inline(always)]
pub(super) fn ethernet_header<F: Network>(headers: &Headers<F::Header>) -> EthernetHeader {
    EthernetHeader {
        destination: headers.ethernet.destination,
        source: headers.ethernet.source,
        tags: UNTAGGED,
        ethertype: F::ETHERTYPE,
        payload: ETHERNET,
    }
}

/// The real server and the next hop to it, if packets can go there without a tag.
#[inline(always)]
pub(super) fn reachable<'a, T: Tables + 'a>(
    tables: T,
    server: u32,
) -> Option<(&'a Server, &'a Hop)> {
    let server = tables.server(server)?;
    if server.flags != 0 || server.hop == 0 {
        return None;
    }
    let hop = tables.hop(server.hop)?;
    (hop.vlan.get() == 0).then_some((server, hop))
}
