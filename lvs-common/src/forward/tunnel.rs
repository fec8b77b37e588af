//! Tunnels: a packet travels whole inside another one, of its server's family (RFC 2003, RFC 2473), behind a header of
//! GUE or GRE if its server's tunnel has one.

use super::context::{Forward, Wire};
use super::icmp_answer::answer_too_big;
use super::inner_packet::InnerPacket;
use super::transmit::{egress, note_decrement};
use crate::abi::{Config, Encapsulation, Hop, Server};
use crate::checksum::Sum;
use crate::encapsulation::{Layer, payload_protocol, write};
use crate::ethernet::{Egress, Room, make_room};
use crate::family::{Family, V4, V6};
use crate::network::{Network, Outer, Part};
use crate::packet::{Inserted, Packet};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// Largest packet that goes through a tunnel to a server by a hop.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 52")]
pub(super) fn room(server: &Server, hop: &Hop) -> u32 {
    let outer = if server.family == V4::NUMBER {
        V4::HEADER
    } else {
        V6::HEADER
    };
    u32::from(hop.mtu).saturating_sub((outer + server.encapsulation().overhead()) as u32)
}

/// Largest packet on the wire that goes through a tunnel with this room. The kernel makes TCP segments smaller by
/// the outer headers when it is put before their super-packet.
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
    let datagram = &forward.datagram;
    let inner = InnerPacket {
        network: datagram.network,
        transport: if datagram.part == Part::Whole {
            datagram.transport
        } else {
            0
        },
        length,
        hash: forward.hash,
        now: forward.now,
        hop_limit: datagram.hop_limit,
        protocol: datagram.protocol,
    };
    let sum = |packet: &P| inner.sum::<F, P, T>(packet, tables);
    match wrap::<F, P, T>(packet, tables, &inner, server, hop, sum) {
        Some(egress) => egress.verdict(packet, forward.route.reason),
        None => Verdict::drop(Reason::NoRoom),
    }
}

/// Decrements a packet's TTL, puts it into another one to the server, and that behind an Ethernet header
/// for the next hop. `sum`: the sum over it, `None` if nobody can know it yet. Returns the way of the frame; `None`: there was no room.
#[inline(always)]
pub(super) fn wrap<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    inner: &InnerPacket,
    server: &Server,
    hop: &Hop,
    sum: impl FnOnce(&P) -> Option<Sum>,
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
        encapsulate::<F, V4, P>(packet, inner, server, hop, ends, sum)
    } else {
        let ends = || {
            let source = if spread {
                spread6(inner.hash)
            } else {
                hop.source6
            };
            (source, server.address)
        };
        encapsulate::<F, V6, P>(packet, inner, server, hop, ends, sum)
    }
}

/// `ends`: source and destination of the outer packet. They and the hop are read after there is room: what a
/// BPF program holds in registers across a call it has to save.
#[inline(always)]
fn encapsulate<F: Network, O: Network, P: Packet>(
    packet: &mut P,
    inner: &InnerPacket,
    server: &Server,
    hop: &Hop,
    ends: impl FnOnce() -> (O::Address, O::Address),
    sum: impl FnOnce(&P) -> Option<Sum>,
) -> Option<Egress> {
    let header: &mut F::Header = packet.header_mut(inner.network)?;
    let (class, dont_fragment) = F::class(header);
    F::decrement_ttl(header);
    note_decrement::<F, P>(packet);
    let mut encapsulation = server.encapsulation();
    let mut layer = Layer {
        source_port: source_port(inner.hash),
        sum: None,
    };
    if encapsulation.has_checksum() {
        // The segments of a super-packet get copies of its headers: the kernel computes the checksums of those
        // tunnels only that it made itself.
        if !P::BUFFER || packet.segment() == 0 {
            layer.sum = sum(packet);
        }
        if layer.sum.is_none() {
            encapsulation = encapsulation.without_checksum();
        }
    }
    let overhead = encapsulation.overhead();
    if P::BUFFER && inner.length as usize + O::HEADER + overhead > usize::from(u16::MAX) {
        return None;
    }
    let protocol = payload_protocol(encapsulation, F::INSIDE);
    let room = Room {
        bytes: O::HEADER + overhead,
        content: Inserted {
            family: O::NUMBER,
            protocol,
        },
    };
    let offset = make_room(packet, inner.network, egress::<P>(hop).tags, room)?;
    let (source, destination) = ends();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "any number will do, halves differ; an overhead is small"
    )]
    let outer = Outer::<O> {
        source: &source,
        destination: &destination,
        protocol,
        class: outer_class(class),
        hop_limit: inner.hop_limit.wrapping_sub(1),
        dont_fragment,
        // RFC 6864: means nothing while the packet may not be fragmented.
        identification: (u64::from(inner.now) ^ inner.hash) as u16,
        payload: inner.length + overhead as u32,
    };
    O::write_outer(packet, offset, &outer)?;
    if P::BUFFER && O::NUMBER == 6 {
        // Nothing makes up for an IPv6 header; one of IPv4 sums up to nothing.
        let sum = O::sum(packet.header(offset)?);
        packet.note_change(sum);
    }
    if encapsulation != Encapsulation::IPIP {
        let port = server.tunnel_port;
        write::<F, O, P>(
            packet,
            offset + O::HEADER,
            encapsulation,
            port,
            &outer,
            &layer,
        )?;
    }
    let egress = egress::<P>(hop);
    egress.write(packet, O::ETHERTYPE)?;
    Some(egress)
}

/// UDP source port of a flow in a tunnel, of the range that the kernel takes ephemeral ports from
/// (`udp_flow_src_port`), so that routers and real servers tell flows apart.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the upper half is a port")]
const fn source_port(hash: u64) -> u16 {
    const FIRST: u64 = 32_768;
    const LAST: u64 = 60_999;
    (FIRST + (((hash & 0xffff_ffff) * (LAST - FIRST)) >> 32)) as u16
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
