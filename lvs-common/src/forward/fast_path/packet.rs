//! Plain packets: whole, without VLAN tags, options and extension headers.

use crate::abi::{Config, Hop, Server};
use crate::connection::{Key, Kind, Protocol, Signal, tcp};
use crate::ethernet::ETHERNET;
use crate::forward::context::Wire;
use crate::network::{Network, Plain};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::wire::{Headers, Transport};

/// Facts about a packet beside its bytes.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    pub(super) length: usize,
    pub(super) interface: u32,
    /// See [`Packet::for_host`].
    pub(super) for_host: Option<bool>,
    segment: u32,
    /// A VLAN tag lies beside its bytes.
    pub(super) tagged: bool,
}

impl Arrival {
    #[inline(always)]
    pub(super) fn of<P: Packet>(packet: &P) -> Self {
        Self {
            length: packet.length(),
            interface: packet.interface(),
            for_host: packet.for_host(),
            segment: packet.segment(),
            tagged: packet.tag().is_some(),
        }
    }
}

/// A plain packet: the fields that decide about it, read once.
pub(super) struct PlainPacket<'a, F: Network> {
    pub(super) config: &'a Config,
    pub(super) plain: Plain<F>,
    pub(super) wire: Wire,
    pub(super) protocol: Protocol,
    pub(super) signal: Signal,
    pub(super) interface: u32,
    pub(super) now: u32,
}

impl<'a, F: Network> PlainPacket<'a, F> {
    /// Reads the headers of a packet that came so.
    #[inline(always)]
    pub(super) fn read<T: Tables + 'a>(
        headers: &Headers<F::Header>,
        arrival: &Arrival,
        packets: u32,
        tables: T,
    ) -> Option<Self> {
        let (plain, protocol, signal) = read_headers::<F>(headers, arrival.length)?;
        #[expect(clippy::cast_possible_truncation, reason = "20 or 40")]
        let own = F::HEADER as u32
            + match protocol {
                Protocol::Tcp => u32::from(headers.transport.offset >> 4) << 2,
                _ => 8,
            };
        Some(Self {
            config: tables.config()?,
            plain,
            wire: Wire::of(arrival.segment, packets, plain.length, own, protocol),
            protocol,
            signal,
            interface: arrival.interface,
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

/// The real server and the next hop to it, if packets can go there as they are: a frame without a tag, and by an
/// interface that transmits it.
#[inline(always)]
pub(super) fn reachable<'a, P: Packet, T: Tables + 'a>(
    tables: T,
    config: &Config,
    server: u32,
) -> Option<(&'a Server, &'a Hop)> {
    let server = tables.server(server)?;
    if server.flags & Server::GONE != 0 || server.hop == 0 {
        return None;
    }
    let hop = tables.hop(server.hop)?;
    if P::BUFFER {
        return Some((server, hop));
    }
    let transmits = hop.flags & Hop::XDP != 0 || config.options & Config::MIXED == 0;
    (hop.vlan.get() == 0 && transmits).then_some((server, hop))
}
