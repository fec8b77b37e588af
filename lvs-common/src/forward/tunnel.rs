//! Tunnels: a packet travels whole inside another one, of its server's family (RFC 2003, RFC 2473).

use super::context::{Forward, Wire};
use super::icmp_answer::answer_too_big;
use super::transmit::{egress, note_decrement};
use crate::abi::{Config, Hop, Server};
use crate::checksum::Sum;
use crate::ethernet::{Egress, Room, make_room};
use crate::family::{Family, V4, V6};
use crate::network::{Network, Outer};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// A packet that is put into another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inner {
    /// Offset of its IP header.
    pub(super) network: usize,
    /// Its bytes.
    pub(super) length: u32,
    /// Its TTL or hop limit, the hop that the director is included.
    pub(super) hop_limit: u8,
    /// Hash of its flow.
    pub(super) hash: u64,
    /// The clock.
    pub(super) now: u32,
}

/// Largest packet that goes through a tunnel to a server by a hop.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "20 or 40")]
pub(super) fn room(server: &Server, hop: &Hop) -> u32 {
    let outer = if server.family == V4::NUMBER {
        V4::HEADER
    } else {
        V6::HEADER
    };
    u32::from(hop.mtu).saturating_sub(outer as u32)
}

/// Largest packet on the wire that goes through a tunnel with this room. The kernel makes TCP segments smaller by
/// the outer header when it is put before their super-packet.
#[inline(always)]
pub(super) fn limit(wire: &Wire, room: u32, hop: &Hop) -> u32 {
    if wire.resizable {
        u32::from(hop.mtu)
    } else {
        room
    }
}

/// Sends a packet to its real server through a tunnel.
#[inline(never)]
pub(super) fn send<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &mut Forward<F>,
) -> Verdict {
    let Some(server) = tables.server(forward.route.server) else {
        return Verdict::drop(Reason::ServerDeleted);
    };
    let Some(hop) = tables.hop(server.hop) else {
        return Verdict::drop(Reason::Unresolved);
    };
    let room = room(server, hop);
    let length = forward.datagram.length();
    let limit = limit(&forward.wire, room, hop);
    if forward.wire.largest > limit {
        return answer_too_big(forward, hop, room);
    }
    let inner = Inner {
        network: forward.datagram.network,
        length,
        hop_limit: forward.datagram.hop_limit,
        hash: forward.hash,
        now: forward.now,
    };
    match wrap::<F, P, T>(packet, tables, &inner, server, hop) {
        Some(egress) => egress.verdict(packet, forward.route.reason),
        None => Verdict::drop(Reason::NoRoom),
    }
}

/// Decrements a packet's TTL, puts it into another one to the server, and that behind an Ethernet header
/// for the next hop. Returns the way of the frame; `None`: there was no room.
#[inline(always)]
pub(super) fn wrap<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    inner: &Inner,
    server: &Server,
    hop: &Hop,
) -> Option<Egress> {
    let spread = tables.option(Config::RSS_SOURCE);
    if server.family == V4::NUMBER {
        let ends = || {
            let source = if spread {
                spread4(inner.hash)
            } else {
                hop.source4
            };
            (source, V4::narrow(&server.address))
        };
        encapsulate::<F, V4, P>(packet, inner, hop, ends)
    } else {
        let ends = || {
            let source = if spread {
                spread6(inner.hash)
            } else {
                hop.source6
            };
            (source, server.address)
        };
        encapsulate::<F, V6, P>(packet, inner, hop, ends)
    }
}

/// `ends`: source and destination of the outer packet. They and the hop are read after there is room: what a
/// BPF program holds in registers across a call it has to save.
#[inline(always)]
fn encapsulate<F: Network, O: Network, P: Packet>(
    packet: &mut P,
    inner: &Inner,
    hop: &Hop,
    ends: impl FnOnce() -> (O::Address, O::Address),
) -> Option<Egress> {
    let header: &mut F::Header = packet.header_mut(inner.network)?;
    let (class, dont_fragment) = F::class(header);
    F::decrement_ttl(header);
    note_decrement::<F, P>(packet);
    if P::BUFFER && inner.length as usize + O::HEADER > usize::from(u16::MAX) {
        return None;
    }
    let room = Room {
        bytes: O::HEADER,
        family: O::NUMBER,
    };
    let offset = make_room(packet, inner.network, egress::<P>(hop).tags, room)?;
    let (source, destination) = ends();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "any number will do, halves differ"
    )]
    let outer = Outer::<O> {
        source: &source,
        destination: &destination,
        protocol: F::INSIDE,
        class: outer_class(class),
        hop_limit: inner.hop_limit.wrapping_sub(1),
        dont_fragment,
        // RFC 6864: means nothing while the packet may not be fragmented.
        identification: (u64::from(inner.now) ^ inner.hash) as u16,
        payload: inner.length,
    };
    O::write_outer(packet, offset, &outer)?;
    if P::BUFFER && O::NUMBER == 6 {
        // Nothing makes up for an IPv6 header; one of IPv4 sums up to nothing.
        let words: [[u8; 4]; 10] = *packet.header(offset)?;
        let sum = words
            .iter()
            .fold(Sum::default(), |sum, word| sum.add(*word));
        packet.note_change(sum);
    }
    let egress = egress::<P>(hop);
    egress.write(packet, O::ETHERTYPE)?;
    Some(egress)
}

/// An outer source that differs by flow, so that a real server's receive queues share the load.
#[inline(always)]
const fn spread4(hash: u64) -> [u8; 4] {
    let [a, b, ..] = hash.to_ne_bytes();
    [172, 16, a, b]
}

/// An outer source that differs by flow, in IPv6's discard-only block (RFC 6666).
#[inline(always)]
const fn spread6(hash: u64) -> [u8; 16] {
    let [a, b, c, d, ..] = hash.to_ne_bytes();
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
}

/// RFC 6040 section 4.1, in its compatible form as IPVS uses it: congestion experienced becomes ECT(0).
#[inline(always)]
const fn outer_class(class: u8) -> u8 {
    if class & 3 == 3 { class & !1 } else { class }
}
