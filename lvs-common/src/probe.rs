//! Probes on the service path: to a virtual address by way of one real server, as clients' packets go.
//!
//! The daemon's probes have a network stack of their own, which knows nothing of the director's addresses
//! and lies behind an interface of the director's. Each has a [`ProbeRoute`] in the tables.
//!
//! - What comes out of that interface is a probe's packet: [`depart`] finds its route, by which it leaves
//!   through the kernel's neighbour table, in a tunnel if the server is reached by one.
//! - What the server answers comes to an interface of the director as any packet does. It is not for a
//!   virtual address, belongs to no connection and would be passed to the kernel: before that,
//!   `forward/probe_answer.rs` looks whether a probe waits for it.
//! - A server that lacks the virtual address may send the probe on, back to the director. It must not be
//!   taken for a client's packet: [`returned`].

use zerocopy::byteorder::network_endian::U16;

use crate::abi::{FIRST_PROBE_PORT, ProbeKey, ProbeRoute};
use crate::aligned::Aligned;
use crate::connection::{Key, Kind, Ports};
use crate::ethernet::ETHERNET;
use crate::family::{Family, V4, V6};
use crate::network::{Network, Outer};
use crate::packet::{Inserted, Packet};
use crate::tables::Tables;
use crate::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, Icmp};

/// TTL or hop limit of an outer header.
const HOP_LIMIT: u8 = 64;

/// The route of a probe's packet, which is made ready for it. `None`: it is no packet of a probe, or
/// there was no room for an outer header.
#[inline(always)]
pub fn depart<'a, P: Packet, T: Tables + 'a>(packet: &mut P, tables: T) -> Option<&'a ProbeRoute> {
    let ethernet: &Ethernet = packet.header(0)?;
    match ethernet.ethertype.get() {
        ETHERTYPE_IPV4 => depart_of::<V4, P, T>(packet, tables),
        ETHERTYPE_IPV6 => depart_of::<V6, P, T>(packet, tables),
        _ => None,
    }
}

#[inline(always)]
fn depart_of<'a, F: Network, P: Packet, T: Tables + 'a>(
    packet: &mut P,
    tables: T,
) -> Option<&'a ProbeRoute> {
    let room = packet.length().wrapping_sub(ETHERNET);
    let plain = F::plain(packet.header(ETHERNET)?, room)?;
    let transport = ETHERNET + F::HEADER;
    let ports = if plain.protocol == F::ICMP {
        echo_ports(packet, transport)?
    } else {
        *packet.header(transport)?
    };
    // The way back has the same key.
    let answer = Key {
        source: plain.destination,
        destination: plain.source,
        ports: ports.reversed(),
        protocol: plain.protocol,
        kind: Kind::Reply as u8,
    };
    let route = route::<F, T>(tables, &answer)?;
    match route.tunnel_family {
        4 => wrap::<F, V4, P>(packet, route, plain.length)?,
        6 => wrap::<F, V6, P>(packet, route, plain.length)?,
        _ => {}
    }
    Some(route)
}

/// The ports that an echo request counts as having: its identifier, as the source.
#[inline(always)]
pub(crate) fn echo_ports<P: Packet>(packet: &P, transport: usize) -> Option<Ports> {
    let icmp: &Icmp = packet.header(transport)?;
    let [first, second, ..] = icmp.rest.to_bytes();
    Some(Ports {
        source: U16::from_bytes([first, second]),
        destination: U16::ZERO,
    })
}

#[inline(always)]
fn wrap<F: Network, O: Network, P: Packet>(
    packet: &mut P,
    route: &ProbeRoute,
    length: u32,
) -> Option<()> {
    let content = Inserted {
        family: O::NUMBER,
        protocol: F::INSIDE,
    };
    packet.insert(O::HEADER, content)?;
    let outer = Outer::<O> {
        source: &O::narrow(&route.tunnel_source),
        destination: &O::narrow(&route.tunnel_destination),
        protocol: F::INSIDE,
        class: 0,
        hop_limit: HOP_LIMIT,
        dont_fragment: true,
        identification: 0,
        payload: length,
    };
    O::write_outer(packet, ETHERNET, &outer)
}

/// Returns whether a packet to a virtual address is a probe that a server without that address has sent on: to
/// the director, because it has it. Scheduled like a client's, it would be answered by another server.
#[inline(always)]
pub(crate) fn returned<F: Family, T: Tables>(tables: T, key: &Key<F>) -> bool {
    if !tables.probing() {
        return false;
    }
    let answer = Key {
        source: key.destination,
        destination: key.source,
        ports: key.ports.reversed(),
        ..*key
    };
    route(tables, &answer).is_some()
}

/// The route of the probe that an answer with this key is for.
#[inline(always)]
pub(crate) fn route<'a, F: Family, T: Tables + 'a>(
    tables: T,
    key: &Key<F>,
) -> Option<&'a ProbeRoute> {
    if key.ports.destination.get() < FIRST_PROBE_PORT {
        return None;
    }
    let key = Aligned(ProbeKey {
        virtual_address: F::widen(key.source),
        own_address: F::widen(key.destination),
        virtual_port: key.ports.source,
        own_port: key.ports.destination,
        protocol: key.protocol,
        family: F::NUMBER,
        reserved: [0; 2],
    });
    tables.probe(&key.0)
}
