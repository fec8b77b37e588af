//! The short way: an ordinary packet of a known connection, or the first one of an ordinary connection.
//!
//! Nearly every packet is one. It carries nothing that asks for a closer look (VLAN tags, options,
//! fragments), leaves its connection's state as it is or begins one with nothing in its way, and goes out by
//! a plain next hop. All that takes is done here from top to bottom, with its values in registers and nothing
//! changed before it is certain. Whatever else comes goes through the stages, which do the same for every
//! packet.

pub(super) mod first;
mod known;
mod send;

use super::arrive::{concern, concerns};
use crate::abi::{Config, Hop, Server};
use crate::connection::table::Store;
use crate::connection::{Key, Kind, Protocol, Signal, tcp};
use crate::link::{Link, UNTAGGED};
use crate::network::{Network, Plain};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::wire::{Headers, Transport};

/// Bytes of an Ethernet header without tags.
const ETHERNET: usize = 14;

/// What comes of a packet of a known connection, or of one that is none of the director's.
#[inline(always)]
pub(super) fn known<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
) -> Outcome {
    let length = packet.length();
    let Some(headers) = packet.header::<Headers<F::Header>>(0) else {
        return Outcome::OTHER;
    };
    let [source, destination] = F::addresses(&headers.internet);
    let virtual_bits = concern(tables, &F::widen(destination));
    if virtual_bits & 1 == 0 && !concerns(tables, &F::widen(source)) {
        return match said::<F>(headers, length) {
            Some(_) => Outcome::of(Verdict::pass(Reason::NotOurs)),
            None => Outcome::OTHER,
        };
    }
    known::forward::<F, P, T>(packet, tables, virtual_bits)
}

/// What comes of an ordinary packet, in one register: its verdict, if it has one. Without one it is another
/// kind of packet, and nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome(u64);

impl Outcome {
    /// No verdict: it is no ordinary packet.
    pub(super) const OTHER: Self = Self(0);
    /// No verdict yet: it may be the [`first`] one of a connection.
    pub(super) const FIRST: Self = Self(1);

    #[inline(always)]
    const fn of(verdict: Verdict) -> Self {
        Self(verdict.to_bits())
    }

    #[inline(always)]
    pub(super) const fn verdict(self) -> Option<Verdict> {
        if self.0 == Self::FIRST.0 {
            return None;
        }
        Verdict::from_bits(self.0)
    }
}

/// An ordinary packet: what decides about it, read once.
struct Ordinary<'a, F: Network> {
    config: &'a Config,
    plain: Plain<F>,
    protocol: Protocol,
    signal: Signal,
    interface: u32,
    now: u32,
}

impl<'a, F: Network> Ordinary<'a, F> {
    /// Reads a packet that came by this interface, in a frame of so many bytes.
    #[inline(always)]
    fn read<T: Tables + 'a>(
        headers: &Headers<F::Header>,
        length: usize,
        interface: u32,
        tables: T,
    ) -> Option<Self> {
        let (plain, protocol, signal) = said::<F>(headers, length)?;
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
    fn timeout(&self, state: u8) -> u32 {
        self.config.timeout(self.protocol, state)
    }

    #[inline(always)]
    fn key(&self, kind: Kind, headers: &Headers<F::Header>) -> Key<F> {
        Key {
            source: self.plain.source,
            destination: self.plain.destination,
            ports: headers.transport.ports,
            protocol: self.plain.protocol,
            kind: kind as u8,
        }
    }
}

/// What the headers say, in a frame of so many bytes.
#[inline(always)]
fn said<F: Network>(
    headers: &Headers<F::Header>,
    length: usize,
) -> Option<(Plain<F>, Protocol, Signal)> {
    let plain = F::plain(&headers.internet, length.wrapping_sub(ETHERNET))?;
    let (protocol, signal) = transport(&headers.transport, &plain)?;
    Some((plain, protocol, signal))
}

/// Protocol, and what the packet says about its connection.
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

/// The link header of an ordinary packet.
#[inline(always)]
fn link<F: Network>(headers: &Headers<F::Header>) -> Link {
    Link {
        destination: headers.ethernet.destination,
        source: headers.ethernet.source,
        tags: UNTAGGED,
        ethertype: F::ETHERTYPE,
        payload: ETHERNET,
    }
}

/// The real server and the next hop to it, if packets can go there without a tag.
#[inline(always)]
fn reachable<'a, T: Tables + 'a>(tables: T, server: u32) -> Option<(&'a Server, &'a Hop)> {
    let server = tables.server(server)?;
    if server.flags != 0 || server.hop == 0 {
        return None;
    }
    let hop = tables.hop(server.hop)?;
    (hop.vlan.get() == 0).then_some((server, hop))
}
