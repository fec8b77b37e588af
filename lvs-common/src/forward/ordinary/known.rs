//! Packets of known connections.

use super::send::{Course, Route, finish, translate, transmit};
use super::{Ordinary, Outcome, link, reachable};
use crate::abi::Method;
use crate::connection::table::{self, Place, Slot, Store, Ways};
use crate::connection::{Direction, Kind, Signal, half_open, tcp};
use crate::forward::announce;
use crate::forward::enter::heard;
use crate::forward::find::is_expired;
use crate::link::{Egress, UNTAGGED, is_own};
use crate::network::Network;
use crate::packet::Packet;
use crate::tables::Tables;
use crate::transmit::Rewrite;
use crate::verdict::{Reason, Verdict};
use crate::wire::Headers;

/// What comes of a packet that may be of a known connection: from a client if the lowest bit of
/// `virtual_bits` is set, from a real server otherwise. A verifier does not know that bit as it would know a
/// `bool` that was looked at before, and follows what both have in common once.
#[inline(never)]
pub(super) fn forward<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    virtual_bits: u64,
) -> Outcome {
    read::<F, P, T>(packet, tables, virtual_bits & 1 != 0).unwrap_or(Outcome::OTHER)
}

#[inline(always)]
fn read<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    to_virtual: bool,
) -> Option<Outcome> {
    let (length, interface) = (packet.length(), packet.interface());
    let headers: &mut Headers<F::Header> = packet.header_mut(0)?;
    let ordinary = Ordinary::<F>::read(headers, length, interface, tables)?;
    if !is_own(ordinary.config, &headers.ethernet.destination) || ordinary.plain.hop_limit <= 1 {
        return None;
    }
    // A SYN begins something, or is repeated.
    let syn = ordinary.signal == Signal::Tcp(tcp::Event::Syn);
    if syn {
        return to_virtual.then_some(Outcome::FIRST);
    }
    let kind = if to_virtual {
        Kind::Request
    } else {
        Kind::Reply
    };
    let Some(found) = find(tables, &ordinary, kind, headers) else {
        let first = to_virtual && ordinary.signal == Signal::Udp;
        return first.then_some(Outcome::FIRST);
    };
    if !to_virtual {
        return reply(headers, tables, &ordinary, &found.slot).map(Outcome::of);
    }
    let course = request(headers, tables, &ordinary, &found)?;
    Some(Outcome::of(finish(packet, tables, &ordinary, course)))
}

/// A connection that was found.
struct Found<S> {
    slot: Slot<S>,
    /// Hash of the packet's flow.
    hash: u64,
}

/// A client's packet.
#[inline(always)]
fn request<'a, F: Network, T: Tables + Store<F> + 'a>(
    headers: &mut Headers<F::Header>,
    tables: T,
    packet: &Ordinary<'_, F>,
    found: &Found<<T as Store<F>>::Set>,
) -> Option<Course<'a>> {
    let Slot { set, way, .. } = found.slot;
    let record = set.record(way);
    let method = Method::from_raw(record.method);
    let direction = match method {
        Method::Direct | Method::Tunnel => Direction::InputOnly,
        Method::Nat => Direction::Input,
        Method::Local => return None,
    };
    let state = settled(&found.slot, packet, direction)?;
    let (server, hop) = reachable(tables, u32::from(record.server))?;
    let route = Route {
        method,
        server,
        hop,
        hash: found.hash,
    };
    if !route.takes(packet) {
        return None;
    }
    if method == Method::Nat && set.client(way) != heard(packet.interface, &link::<F>(headers)) {
        return None;
    }
    if !table::unchanged(&found.slot) {
        return None;
    }
    let packets = set.touch(way, packet.now, packet.timeout(state));
    let sync = &packet.config.sync;
    if sync.on != 0 && sync.may_be_due(packets) {
        announce::repeat::<F, T>(tables, packet.protocol, state, packets, found.slot.number);
    }
    let (service, index) = (u32::from(record.service), u32::from(record.server));
    tables.count_in(service, index, packet.plain.length, false);
    Some(route.go(headers, packet))
}

/// A real server's packet: the reply to a client's, if there is a NAT connection for it.
#[inline(always)]
fn reply<F: Network, T: Tables + Store<F>>(
    headers: &mut Headers<F::Header>,
    tables: T,
    packet: &Ordinary<'_, F>,
    reply: &Slot<<T as Store<F>>::Set>,
) -> Option<Verdict> {
    let slot = table::by_number::<F, T>(tables, reply.set.partner(reply.way))?;
    let (set, way) = (slot.set, slot.way);
    if set.partner(way) != reply.number {
        return None;
    }
    let record = set.record(way);
    let state = settled(&slot, packet, Direction::Output)?;
    let (asked, client) = (set.key(way), set.client(way));
    let [outer, _] = client.vlan;
    let plain = outer.get() == 0 && client.interface != 0;
    if !plain || !table::unchanged(&slot) || !table::unchanged(reply) {
        return None;
    }
    set.touch_reply(way, packet.now, packet.timeout(state));
    let (service, index) = (u32::from(record.service), u32::from(record.server));
    tables.count_out(service, index, packet.plain.length);
    let rewrite = Rewrite {
        source: asked.destination,
        destination: packet.plain.destination,
        ports: asked.ports.reversed(),
    };
    translate(headers, packet, &rewrite);
    let egress = Egress {
        destination: client.mac,
        source: client.director,
        tags: UNTAGGED,
        interface: client.interface,
    };
    Some(transmit(headers, packet, &egress, Reason::NatReply))
}

#[inline(always)]
fn find<F: Network, T: Tables + Store<F>>(
    tables: T,
    packet: &Ordinary<'_, F>,
    kind: Kind,
    headers: &Headers<F::Header>,
) -> Option<Found<<T as Store<F>>::Set>> {
    let key = packet.key(kind, headers);
    let hash = F::hash(&key, tables);
    let place = Place::of(hash, Store::<F>::sets(tables));
    let slot = table::find_first::<F, T>(tables, &key, place)?;
    Some(Found { slot, hash })
}

/// The state of a connection that is not expired and stays in it.
#[inline(always)]
fn settled<F: Network, S: Ways<F>>(
    slot: &Slot<S>,
    packet: &Ordinary<'_, F>,
    direction: Direction,
) -> Option<u8> {
    let state = packet.signal.next(direction, slot.tag.state());
    let stays = slot.tag.live(state, half_open(packet.protocol, state)) == slot.tag;
    (stays && !is_expired(slot, packet.now)).then_some(state)
}
