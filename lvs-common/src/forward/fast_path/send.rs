//! Sends a plain packet, once it is known where it goes.

use super::packet::PlainPacket;
use crate::abi::{Hop, Method, Server};
use crate::connection::{Ports, Protocol};
use crate::ethernet::{ETHERNET, Egress, UNTAGGED};
use crate::forward::context::Rewrite;
use crate::forward::rewrite::update_udp;
use crate::forward::transmit::egress;
use crate::forward::tunnel;
use crate::network::{Network, Plain};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::wire::Headers;

/// The way of a client's packet to its real server.
#[derive(Clone, Copy)]
pub(super) struct Route<'a> {
    /// Direct, NAT or tunnel.
    pub(super) method: Method,
    pub(super) server: &'a Server,
    pub(super) hop: &'a Hop,
    /// Hash of the packet's flow.
    pub(super) hash: u64,
}

/// A client's packet once its headers are rewritten.
#[derive(Clone, Copy)]
pub(super) enum Departure<'a> {
    /// It is ready.
    Sent(Verdict),
    /// It goes through a tunnel.
    Tunnel(Route<'a>),
}

impl<'a> Route<'a> {
    /// Returns whether a packet can go that way as it is.
    #[inline(always)]
    pub(super) fn fits<F: Network>(&self, packet: &PlainPacket<'_, F>) -> bool {
        let room = match self.method {
            Method::Tunnel => tunnel::room(self.server, self.hop),
            _ => u32::from(self.hop.mtu),
        };
        let family = self.method != Method::Nat || self.server.family == F::NUMBER;
        family && packet.plain.length <= room
    }

    /// Sends a packet, if that does not take another header.
    #[inline(always)]
    pub(super) fn send<F: Network>(
        self,
        headers: &mut Headers<F::Header>,
        packet: &PlainPacket<'_, F>,
    ) -> Departure<'a> {
        let Self {
            method,
            server,
            hop,
            ..
        } = self;
        if method == Method::Tunnel {
            return Departure::Tunnel(self);
        }
        let reason = if method == Method::Nat {
            let Ports {
                source,
                destination,
            } = headers.transport.ports;
            let destination = match server.port.get() {
                0 => destination,
                _ => server.port,
            };
            let rewrite = Rewrite {
                source: packet.plain.source,
                destination: F::narrow(&server.address),
                ports: Ports {
                    source,
                    destination,
                },
            };
            translate(headers, packet, &rewrite);
            Reason::Nat
        } else {
            Reason::Direct
        };
        Departure::Sent(transmit(headers, packet, &egress(hop), reason))
    }
}

/// Puts a packet into a tunnel if it goes through one.
#[inline(always)]
pub(super) fn finish<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    plain_packet: &PlainPacket<'_, F>,
    departure: Departure<'_>,
) -> Verdict {
    let Route {
        server, hop, hash, ..
    } = match departure {
        Departure::Sent(verdict) => return verdict,
        Departure::Tunnel(route) => route,
    };
    let inner = tunnel::Inner {
        network: ETHERNET,
        length: plain_packet.plain.length,
        hop_limit: plain_packet.plain.hop_limit,
        hash,
        now: plain_packet.now,
    };
    match tunnel::wrap::<F, P, T>(packet, tables, &inner, server, hop, UNTAGGED) {
        Some(egress) => egress.verdict(packet, Reason::Tunnel),
        None => Verdict::drop(Reason::NoRoom),
    }
}

/// Replaces addresses and ports with all checksums over them.
#[inline(always)]
pub(super) fn translate<F: Network>(
    headers: &mut Headers<F::Header>,
    packet: &PlainPacket<'_, F>,
    rewrite: &Rewrite<F>,
) {
    let Plain {
        source,
        destination,
        ..
    } = &packet.plain;
    let transport = &mut headers.transport;
    let addresses = F::difference(
        [source, destination],
        [&rewrite.source, &rewrite.destination],
    );
    let change = addresses
        .remove(transport.ports.to_bytes())
        .add(rewrite.ports.to_bytes());
    if packet.protocol == Protocol::Tcp {
        transport.tcp_checksum = change.update(transport.tcp_checksum);
    } else {
        transport.udp_checksum = update_udp(change, transport.udp_checksum);
    }
    transport.ports = rewrite.ports;
    F::replace(
        &mut headers.internet,
        &rewrite.source,
        &rewrite.destination,
        addresses,
    );
}

/// Decrements the TTL, writes the Ethernet addresses and sends the packet.
#[inline(always)]
pub(super) fn transmit<F: Network>(
    headers: &mut Headers<F::Header>,
    packet: &PlainPacket<'_, F>,
    egress: &Egress,
    reason: Reason,
) -> Verdict {
    F::decrement_ttl(&mut headers.internet);
    headers.ethernet.destination = egress.destination;
    headers.ethernet.source = egress.source;
    if egress.interface == packet.interface {
        Verdict::transmit(reason)
    } else {
        Verdict::redirect(egress.interface, reason)
    }
}
