//! Packets of known connections.

use zerocopy::byteorder::network_endian::U16;

use super::attempt::Attempt;
use super::packet::{Arrival, PlainPacket, reachable, read_headers};
use super::send::{Departure, Route, finish, translate, transmit};
use crate::abi::Method;
use crate::connection::table::{self, Place, Slot, Store, Ways};
use crate::connection::{Client, Direction, Kind, Record, Signal, half_open, tcp};
use crate::ethernet::{Egress, Vlans, is_group, is_own};
use crate::forward::addr_filter::{filter_bits, matches_filter};
use crate::forward::context::Rewrite;
use crate::forward::find::is_expired;
use crate::forward::source_check;
use crate::forward::source_translation::source_of;
use crate::forward::sync_events;
use crate::ftp;
use crate::network::Network;
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::wire::Headers;

/// Handles a packet of a known connection, or one that is none of the director's.
#[inline(always)]
pub(in crate::forward) fn established<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
) -> Attempt {
    let length = packet.length();
    let Some(headers) = packet.header::<Headers<F::Header>>(0) else {
        return Attempt::LEFT;
    };
    let [source, destination] = F::addresses(&headers.internet);
    let virtual_bits = filter_bits(tables, &F::widen(destination));
    if virtual_bits & 1 == 0 && !matches_filter(tables, &F::widen(source)) {
        return match read_headers::<F>(headers, length) {
            Some(_) => Attempt::of(Verdict::pass(Reason::NotOurs)),
            None => Attempt::LEFT,
        };
    }
    forward::<F, P, T>(packet, tables, virtual_bits)
}

/// Handles a packet that may be of a known connection: from a client if the lowest bit of
/// `virtual_bits` is set, from a real server otherwise. A verifier does not know that bit as it would know a
/// `bool` that was looked at before, and follows what both have in common once.
#[inline(never)]
fn forward<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    virtual_bits: u64,
) -> Attempt {
    read::<F, P, T>(packet, tables, virtual_bits & 1 != 0).unwrap_or(Attempt::LEFT)
}

#[inline(always)]
fn read<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    to_virtual: bool,
) -> Option<Attempt> {
    let (arrival, packets) = (Arrival::of(packet), packet.packets());
    let headers: &mut Headers<F::Header> = packet.header_mut(0)?;
    let plain_packet = PlainPacket::<F>::read(headers, &arrival, packets, tables)?;
    let destination = &headers.ethernet.destination;
    if is_group(destination)
        || !is_own(arrival.for_host, plain_packet.config, destination)
        || plain_packet.plain.hop_limit <= 1
        || arrival.tagged
    {
        return None;
    }
    // A SYN begins something, or is repeated.
    let syn = plain_packet.signal == Signal::Tcp(tcp::Event::Syn);
    if syn {
        return to_virtual.then_some(Attempt::NEW_CONNECTION);
    }
    let kind = if to_virtual {
        Kind::Request
    } else {
        Kind::Reply
    };
    let Some(found) = find(tables, &plain_packet, kind, headers) else {
        let first = to_virtual && plain_packet.signal == Signal::Udp;
        return first.then_some(Attempt::NEW_CONNECTION);
    };
    let departure = if to_virtual {
        request::<F, P, T>(headers, tables, &plain_packet, &found)?
    } else {
        reply::<F, P, T>(headers, tables, &plain_packet, &found.slot)?
    };
    Some(Attempt::of(finish(
        packet,
        tables,
        &plain_packet,
        departure,
    )))
}

/// A connection that was found.
struct Found<S> {
    slot: Slot<S>,
    /// Hash of the packet's flow.
    hash: u64,
}

/// A client's packet.
#[inline(always)]
fn request<'a, F: Network, P: Packet, T: Tables + Store<F> + 'a>(
    headers: &mut Headers<F::Header>,
    tables: T,
    packet: &PlainPacket<'_, F>,
    found: &Found<<T as Store<F>>::Set>,
) -> Option<Departure<'a>> {
    let Slot { set, way, .. } = found.slot;
    let record = set.record(way);
    let method = Method::from_raw(record.method);
    let direction = match method {
        Method::Direct | Method::Tunnel => Direction::InputOnly,
        Method::Nat => Direction::Input,
        Method::Local => return None,
    };
    if record.method & Record::PACED != 0 {
        return None;
    }
    let state = unchanged_state(&found.slot, packet, direction)?;
    let index = tables.server_of(&record);
    let (server, hop) = reachable::<P, T>(tables, packet.config, index)?;
    let route = Route {
        method,
        server,
        hop,
        hash: found.hash,
    };
    if !route.fits(packet, &headers.transport) {
        return None;
    }
    if method == Method::Nat
        && source_check::came_another_way::<F, T>(
            tables,
            &set.client(way),
            packet.interface,
            Vlans::NONE,
        )
    {
        return None;
    }
    let translated = if record.is_translated() {
        Some(source_of::<F, T>(tables, &found.slot)?)
    } else {
        None
    };
    if !table::unchanged(&found.slot) {
        return None;
    }
    let port = headers.transport.ports.destination;
    let timeout = timeout(packet, &found.slot, record, state, port)?;
    let packets = set.touch(way, packet.now, timeout);
    let sync = &packet.config.sync;
    if sync.on != 0 && sync.may_be_due(packets) {
        sync_events::emit_due::<F, T>(tables, packet.protocol, state, packets, found.slot.number);
    }
    tables.count_in(server.service, index, packet.wire.traffic, false);
    Some(route.send::<F, P>(headers, packet, translated))
}

/// A real server's packet: the reply to a client's, if there is a NAT connection for it.
#[inline(always)]
fn reply<'a, F: Network, P: Packet, T: Tables + Store<F>>(
    headers: &mut Headers<F::Header>,
    tables: T,
    packet: &PlainPacket<'_, F>,
    reply: &Slot<<T as Store<F>>::Set>,
) -> Option<Departure<'a>> {
    let slot = table::by_number::<F, T>(tables, reply.set.partner(reply.way))?;
    let (set, way) = (slot.set, slot.way);
    if set.partner(way) != reply.number {
        return None;
    }
    let record = set.record(way);
    let state = unchanged_state(&slot, packet, Direction::Output)?;
    let (asked, client) = (set.key(way), set.client(way));
    // A socket buffer's tag is put on beside its bytes, and it leaves by any interface.
    let plain = P::BUFFER || client.vlan.get() == 0 && client.interface & Client::BY_TC == 0;
    let plain = plain && client.is_fresh(packet.config.route_generation);
    if !plain || !table::unchanged(&slot) || !table::unchanged(reply) {
        return None;
    }
    let timeout = timeout(packet, &slot, record, state, asked.ports.destination)?;
    set.touch_reply(way, packet.now, timeout);
    let (service, index) = (tables.service_of(&record), tables.server_of(&record));
    tables.count_out(service, index, packet.wire.traffic);
    let rewrite = Rewrite {
        source: asked.destination,
        destination: asked.source,
        ports: asked.ports.reversed(),
    };
    let change = translate::<F, P>(headers, packet, &rewrite);
    let egress = Egress::from(client);
    let reason = Reason::NatReply;
    Some(transmit(headers, packet, &egress, reason, change))
}

/// The timeout of a connection, to this virtual port, that stays in its state: its entry has it already where its
/// service has one of its own. `None`: it is a control connection of FTP.
#[inline(always)]
fn timeout<F: Network, S: Ways<F>>(
    packet: &PlainPacket<'_, F>,
    slot: &Slot<S>,
    record: Record,
    state: u8,
    port: U16,
) -> Option<u32> {
    if record.method & Record::OWN_TIMEOUT == 0 {
        return Some(packet.timeout(state));
    }
    (port != ftp::CONTROL).then(|| slot.set.timeout(slot.way))
}

#[inline(always)]
fn find<F: Network, T: Tables + Store<F>>(
    tables: T,
    packet: &PlainPacket<'_, F>,
    kind: Kind,
    headers: &Headers<F::Header>,
) -> Option<Found<<T as Store<F>>::Set>> {
    let key = packet.key(kind, headers);
    let hash = key.hash(tables);
    let place = Place::of(hash, Store::<F>::sets(tables));
    let slot = table::find_first::<F, T>(tables, &key, place)?;
    Some(Found { slot, hash })
}

/// The state of a connection that is not expired and stays in it.
#[inline(always)]
fn unchanged_state<F: Network, S: Ways<F>>(
    slot: &Slot<S>,
    packet: &PlainPacket<'_, F>,
    direction: Direction,
) -> Option<u8> {
    let state = packet.signal.next(direction, slot.tag.state());
    let stays = slot.tag.live(state, half_open(packet.protocol, state)) == slot.tag;
    (stays && !is_expired(slot, packet.now)).then_some(state)
}
