//! Sends a plain packet, once it is known where it goes.

use super::packet::PlainPacket;
use crate::abi::{Hop, Method, Server};
use crate::checksum::{Sum, SumChange, update_udp};
use crate::connection::{Ports, Protocol};
use crate::ethernet::{ETHERNET, Egress, Tags, put_addresses, replace_tag};
use crate::forward::context::Rewrite;
use crate::forward::inner_packet::{self, InnerPacket};
use crate::forward::source_translation::TranslatedSource;
use crate::forward::transmit::{egress, note_decrement};
use crate::forward::tunnel;
use crate::network::{Network, Plain};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::wire::{Headers, TCP_CHECKSUM, Transport, UDP_CHECKSUM};

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

/// A packet once its headers are rewritten.
#[derive(Clone, Copy)]
pub(super) enum Departure<'a> {
    /// It is ready; of a socket buffer, but for this.
    Sent(Verdict, Rest),
    /// It goes through a tunnel.
    Tunnel(Route<'a>),
    /// It is dropped, as it came.
    Dropped(Verdict),
}

/// The rest of the work on a socket buffer: only helpers of the kernel's can, and they end all access to the
/// headers.
#[derive(Clone, Copy)]
pub(super) struct Rest {
    /// Changes of the transport checksum.
    addresses: Sum,
    ports: Sum,
    /// True if there are any.
    translated: bool,
    /// VLAN tags to leave with.
    tags: Tags,
}

impl<'a> Route<'a> {
    /// Returns whether a packet can go that way as it is.
    #[inline(always)]
    pub(super) fn fits<F: Network>(
        &self,
        packet: &PlainPacket<'_, F>,
        transport: &Transport,
    ) -> bool {
        let room = match self.method {
            Method::Tunnel => {
                // The checksum of a tunnel would have to read all of the packet.
                if self.server.encapsulation().has_checksum() && !is_covered(packet, transport) {
                    return false;
                }
                tunnel::limit(&packet.wire, tunnel::room(self.server, self.hop), self.hop)
            }
            _ => u32::from(self.hop.mtu),
        };
        let family = self.method != Method::Nat || self.server.family == F::NUMBER;
        family && packet.wire.largest <= room
    }

    /// Sends a packet, if that does not take another header; by NAT from the translated source, if there is one.
    #[inline(always)]
    pub(super) fn send<F: Network, P: Packet>(
        self,
        headers: &mut Headers<F::Header>,
        packet: &PlainPacket<'_, F>,
        translated: Option<TranslatedSource<F>>,
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
        let mut change = UNCHANGED;
        let reason = if method == Method::Nat {
            let Ports {
                source,
                destination,
            } = headers.transport.ports;
            let destination = match server.port.get() {
                0 => destination,
                _ => server.port,
            };
            let TranslatedSource { address, ports } = translated.unwrap_or(TranslatedSource {
                address: packet.plain.source,
                ports: Ports {
                    source,
                    destination,
                },
            });
            let rewrite = Rewrite {
                source: address,
                destination: F::narrow(&server.address),
                ports,
            };
            change = translate::<F, P>(headers, packet, &rewrite);
            Reason::Nat
        } else {
            Reason::Direct
        };
        transmit(headers, packet, &egress::<P>(hop), reason, change)
    }
}

/// See [`inner_packet::is_covered`].
#[inline(always)]
fn is_covered<F: Network>(packet: &PlainPacket<'_, F>, transport: &Transport) -> bool {
    let Plain {
        protocol, length, ..
    } = packet.plain;
    #[expect(clippy::cast_possible_truncation, reason = "20 or 40")]
    let payload = length.wrapping_sub(F::HEADER as u32);
    inner_packet::is_covered(protocol, payload, transport.length, transport.udp_checksum)
}

/// Does the rest to a socket buffer.
#[inline(always)]
fn complete<F: Network, P: Packet>(
    packet: &mut P,
    plain_packet: &PlainPacket<'_, F>,
    rest: &Rest,
) -> Option<()> {
    if rest.translated {
        let tcp = plain_packet.protocol == Protocol::Tcp;
        let place = if tcp { TCP_CHECKSUM } else { UDP_CHECKSUM };
        let change = SumChange {
            addresses: rest.addresses,
            ports: rest.ports,
            optional: !tcp,
            wide: F::NUMBER == 6,
        };
        packet.change_sum(ETHERNET + F::HEADER + place, &change)?;
    }
    note_decrement::<F, P>(packet);
    replace_tag(packet, rest.tags)
}

/// Does the rest, or puts a packet into a tunnel if it goes through one.
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
        Departure::Sent(verdict, rest) => {
            let done = !P::BUFFER || complete::<F, P>(packet, plain_packet, &rest).is_some();
            return if done {
                verdict
            } else {
                Verdict::drop(Reason::NoRoom)
            };
        }
        Departure::Tunnel(route) => route,
        Departure::Dropped(verdict) => return verdict,
    };
    let inner = InnerPacket {
        network: ETHERNET,
        transport: ETHERNET + F::HEADER,
        length: plain_packet.plain.length,
        hash,
        now: plain_packet.now,
        hop_limit: plain_packet.plain.hop_limit,
        protocol: plain_packet.plain.protocol,
    };
    let sum = |packet: &P| inner.sum_by_headers::<F, P>(packet);
    match tunnel::wrap::<F, P, T>(packet, tables, &inner, server, hop, sum) {
        Some(egress) => egress.verdict(packet, Reason::Tunnel),
        None => Verdict::drop(Reason::NoRoom),
    }
}

/// No change of a transport checksum.
const UNCHANGED: (Sum, Sum, bool) = (Sum(0), Sum(0), false);

/// Replaces addresses and ports with all checksums over them, but for the transport checksum of a socket buffer: the
/// changes of that, by addresses and by ports, are returned.
#[inline(always)]
pub(super) fn translate<F: Network, P: Packet>(
    headers: &mut Headers<F::Header>,
    packet: &PlainPacket<'_, F>,
    rewrite: &Rewrite<F>,
) -> (Sum, Sum, bool) {
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
    let (old, new) = (transport.ports.to_bytes(), rewrite.ports.to_bytes());
    let ports = if P::BUFFER && old == new {
        Sum::default()
    } else {
        Sum::default().remove(old).add(new)
    };
    let change = addresses.join(ports);
    if P::BUFFER {
        // Left to `complete`.
    } else if packet.protocol == Protocol::Tcp {
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
    (addresses, ports, true)
}

/// Decrements the TTL, writes the Ethernet addresses and sends the packet. `change` is what [`translate`] returned.
#[inline(always)]
pub(super) fn transmit<'a, F: Network>(
    headers: &mut Headers<F::Header>,
    packet: &PlainPacket<'_, F>,
    egress: &Egress,
    reason: Reason,
    (addresses, ports, translated): (Sum, Sum, bool),
) -> Departure<'a> {
    F::decrement_ttl(&mut headers.internet);
    put_addresses(&mut headers.ethernet, egress.ethernet);
    let verdict = if egress.interface == packet.interface {
        Verdict::transmit(reason)
    } else {
        Verdict::redirect(egress.interface, reason)
    };
    Departure::Sent(
        verdict,
        Rest {
            addresses,
            ports,
            translated,
            tags: egress.tags,
        },
    )
}
