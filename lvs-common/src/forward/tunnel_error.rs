//! ICMP errors about packets in tunnels: routers send them to the director, whose address is the outer source. The
//! client hears of them, as if the error were about its own packet. Inside is a packet of the outer one's family, as
//! for IPVS. The error that the client gets has a checksum of its own, so that of the arriving one is verified first.

use zerocopy::byteorder::network_endian::U32;

use super::addr_filter::matches_filter;
use super::client_route;
use super::find::find;
use super::icmp_answer::{HOP_LIMIT, sum};
use super::icmp_fragment;
use super::inner_packet::sum_of_bytes;
use super::stage::Stage;
use super::work::Work;
use crate::abi::Method;
use crate::connection::table::Store;
use crate::connection::{Key, Kind, Ports, Protocol, Record};
use crate::ethernet::{Room, make_room};
use crate::network::{Network, Outer, Part};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::wire::{Gre, GreChecksum, Gue, Icmp, protocol};

/// Bytes of an ICMP header.
const ICMP: usize = size_of::<Icmp>();

/// Tells the client of an ICMP error about its packet in a tunnel. Another error may be about a probe's packet, which
/// the work's key is for. [`Work::inner`]: the packet that the error is about.
#[inline(never)]
pub(super) fn tunnel_error<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    relay(packet, tables, work).unwrap_or_else(|| {
        icmp_fragment::disown(tables, work);
        Stage::ProbeAnswer
    })
}

#[inline(always)]
fn relay<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
) -> Option<Stage> {
    let (outer, server) = (work.inner.network, work.inner.destination);
    let offset = work.inner.transport + encapsulation::<F, P>(packet, work)?;
    F::parse_embedded(packet, tables, offset, &mut work.inner)?;
    tables.fence();
    let inner = &work.inner;
    let cut = inner.part == Part::Later || inner.transport + 4 > work.forward.datagram.end;
    if cut || !matches_filter(tables, &F::widen(inner.destination)) {
        return None;
    }
    Protocol::from_number(inner.protocol)?;
    let ports: Ports = *packet.header(inner.transport)?;
    let key = Key {
        source: inner.source,
        destination: inner.destination,
        ports,
        protocol: inner.protocol,
        kind: Kind::Request as u8,
    };
    let record = find(tables, &key, work.forward.now)?.record;
    let found = tables.server(tables.server_of(&record))?;
    let tunnelled = Method::from_raw(record.method) == Method::Tunnel;
    if !tunnelled || found.address != F::widen(server) || !is_sound(packet, tables, work) {
        return None;
    }
    work.key = key;
    #[expect(clippy::cast_possible_truncation, reason = "offsets are small")]
    let overhead = inner.network.wrapping_sub(outer) as u32;
    Some(answer(packet, tables, work, record, overhead))
}

/// Returns whether the checksum of an error is right; that of one in fragments covers bytes that are not there.
#[inline(never)]
fn is_sound<F: Network, P: Packet, T: Tables>(packet: &P, tables: T, work: &Work<F>) -> bool {
    let datagram = &work.forward.datagram;
    if datagram.part != Part::Whole {
        return true;
    }
    let bytes = datagram.end.wrapping_sub(datagram.transport);
    #[expect(clippy::cast_possible_truncation, reason = "at most 64 KiB")]
    let pseudo = F::icmp_pseudo(&datagram.source, &datagram.destination, bytes as u32);
    let sum = sum_of_bytes(packet, tables, datagram.transport, bytes);
    sum.is_some_and(|sum| sum.join(pseudo).checksum() == [0; 2])
}

/// Bytes between the outer IP header and the packet inside; `None`: there is none of the same family.
#[inline(always)]
fn encapsulation<F: Network, P: Packet>(packet: &P, work: &Work<F>) -> Option<usize> {
    let offset = work.inner.transport;
    match work.inner.protocol {
        protocol::GRE => {
            let header: &Gre = packet.header(offset)?;
            let with_checksum = header.flags.get() == Gre::CHECKSUM;
            let known = with_checksum || header.flags.get() == 0;
            let bytes = if with_checksum {
                size_of::<Gre>() + size_of::<GreChecksum>()
            } else {
                size_of::<Gre>()
            };
            (known && header.protocol.get() == F::ETHERTYPE).then_some(bytes)
        }
        protocol::UDP => {
            let header: &Gue = packet.header(offset)?;
            let known = header.version_length == 0 && header.flags.get() == 0;
            (known && header.protocol == F::INSIDE).then_some(size_of::<Gue>())
        }
        number => (number == F::INSIDE).then_some(0),
    }
}

/// Makes the error one about the client's packet, which lies in [`Work::inner`], and sends it to the client.
#[inline(always)]
fn answer<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
    record: Record,
    overhead: u32,
) -> Stage {
    if !client_route::look_up_way(packet.routes(), tables, work) {
        return Stage::Ended;
    }
    let written = write(packet, work, overhead);
    let verdict = written.unwrap_or(Verdict::drop(Reason::Unanswerable));
    if verdict.is_forwarded() {
        let (service, server) = (tables.service_of(&record), tables.server_of(&record));
        tables.count_out(service, server, work.forward.wire.traffic);
    }
    work.end(verdict)
}

#[inline(always)]
fn write<F: Network, P: Packet>(packet: &mut P, work: &Work<F>, overhead: u32) -> Option<Verdict> {
    let (datagram, inner) = (&work.forward.datagram, &work.inner);
    let error: Icmp = *packet.header(datagram.transport)?;
    let rest = if F::is_too_big(error.kind, error.code) {
        // What the packet inside may have is less by all that is around it.
        let mtu = F::named_mtu(error.rest.get()).checked_sub(overhead)?;
        if mtu < F::SMALLEST_MTU {
            return None;
        }
        mtu
    } else {
        0
    };
    let room = F::HEADER + ICMP;
    // Whole words only, as in the director's own answers.
    let embedded = datagram.end.wrapping_sub(inner.network);
    let embedded = embedded.min(F::LARGEST_ERROR - room) & !3;
    let removed = inner.network.checked_sub(datagram.network + room)?;
    let link = make_room(
        packet,
        work.forward.ethernet.payload,
        work.client.tags,
        Room::NONE,
    )?;
    packet.remove(removed)?;
    packet.truncate(link + room + embedded)?;
    packet.pull(link + room + embedded)?;

    #[expect(clippy::cast_possible_truncation, reason = "at most 1,280")]
    let payload = (ICMP + embedded) as u32;
    let start = link + F::HEADER;
    let header: &mut Icmp = packet.header_mut(start)?;
    header.kind = error.kind;
    header.code = error.code;
    header.checksum = [0; 2];
    header.rest = U32::new(rest);
    let pseudo = F::icmp_pseudo(&inner.destination, &inner.source, payload);
    let checksum = sum(packet, start, payload as usize, pseudo)?.checksum();
    packet.header_mut::<Icmp>(start)?.checksum = checksum;
    let outer = Outer {
        source: &inner.destination,
        destination: &inner.source,
        protocol: F::ICMP,
        class: 0,
        hop_limit: HOP_LIMIT,
        dont_fragment: false,
        identification: 0,
        payload,
    };
    F::write_outer(packet, link, &outer)?;
    work.client.write(packet, F::ETHERTYPE)?;
    Some(work.client.verdict(packet, Reason::IcmpToClient))
}
