//! The first packet of a connection, if nothing stands in its way: its service picks a server without
//! asking for more than loads, and both its entry and, behind NAT, that of the replies have a free way at a glance.

use super::packet::{Arrival, PlainPacket, reachable};
use super::send::{Departure, Route, finish};
use crate::abi::{Interface, Member, Method, Plan};
use crate::connection::table::{self, Place, Store};
use crate::connection::{FirstState, Kind, Protocol, Signal, tcp};
use crate::ethernet::{UNTAGGED, Vlans};
use crate::forward::filter::{self, Judgement};
use crate::forward::service::{flow, plain_service};
use crate::forward::upper_device::device;
use crate::forward::work::Work;
use crate::forward::{client_route, source_check};
use crate::ftp;
use crate::network::Network;
use crate::packet::Packet;
use crate::probe;
use crate::routes::{Lookup, Routes};
use crate::scheduler;
use crate::tables::Tables;
use crate::verdict::Verdict;
use crate::wire::Headers;

/// The verdict on a packet to a virtual address that may begin a connection: a SYN, or one that `established.rs`
/// found no connection of. `work` lends the room where entries are laid out.
#[inline(never)]
pub(in crate::forward) fn forward<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
) -> Option<Verdict> {
    let (arrival, packets) = (Arrival::of(packet), packet.packets());
    let routes = packet.routes();
    let headers: &mut Headers<F::Header> = packet.header_mut(0)?;
    let plain_packet = PlainPacket::<F>::read(headers, &arrival, packets, tables)?;
    let departure = open::<F, P, T>(headers, routes, tables, &plain_packet, work)?;
    Some(finish(packet, tables, &plain_packet, departure))
}

/// Picks a server and inserts the connection.
#[inline(always)]
fn open<'a, F: Network, P: Packet, T: Tables + Store<F> + 'a>(
    headers: &mut Headers<F::Header>,
    routes: P::Routes,
    tables: T,
    packet: &PlainPacket<'_, F>,
    work: &mut Work<F>,
) -> Option<Departure<'a>> {
    if !matches!(packet.signal, Signal::Udp | Signal::Tcp(tcp::Event::Syn)) {
        return None;
    }
    let key = packet.key(Kind::Request, headers);
    // IPVS leaves connections from the FTP data port to the FTP helper, and control connections are not plain.
    if packet.protocol == Protocol::Tcp
        && (key.ports.source == ftp::DATA || key.ports.destination == ftp::CONTROL)
    {
        return None;
    }
    let hash = key.hash(tables);
    let plan = plain_service::<F, T>(tables, packet.config, &key)?;
    let one_packet = plan.flags & Plan::ONE_PACKET != 0;
    if plan.persistence != 0
        || one_packet
        || plan.timeout_bit() != 0
        || !F::is_intact(&headers.internet)
        || probe::returned(tables, &key)
    {
        return None;
    }
    if plan.filter != 0 {
        match filter::judge::<F, T>(tables, plan, key.source) {
            Judgement::Admitted => {}
            Judgement::Denied => return Some(Departure::Dropped(filter::DENIED)),
            Judgement::Limited => return None,
        }
    }
    let pick = scheduler::pick_fast(tables, plan, &flow(&key, hash), &mut work.search)?;
    work.key = key;
    let nat = Method::from_raw(pick.member.method) == Method::Nat;
    if !nat {
        // The set is on its way from memory while the rest is done; behind the pick, whose atomic instruction would
        // wait for it. By NAT the routes are asked next, which is longer than the processor looks ahead.
        table::fetch::<F, T>(tables, Place::of(hash, Store::<F>::sets(tables)));
    }
    let admitted = admit(routes, tables, packet, nat, work);
    let inserted = admitted
        .then(|| insert::<F, P, T>(headers, tables, packet, hash, pick.member, work))
        .flatten();
    if inserted.is_none() {
        pick.undo(tables);
    }
    Some(inserted?.send::<F, P>(headers, packet, None))
}

/// Accepts the source of a new connection whose key the work has, and finds the way of its replies. False: whatever
/// is not plain is judged anew by the stages.
#[inline(always)]
fn admit<F: Network, R: Routes, T: Tables>(
    routes: R,
    tables: T,
    packet: &PlainPacket<'_, F>,
    nat: bool,
    work: &mut Work<F>,
) -> bool {
    let device = device(tables, packet.interface, Vlans::NONE);
    let flags = source_check::interface_flags(tables, device);
    let key = &work.key;
    if source_check::is_martian::<F>(&key.source, flags)
        || source_check::is_own::<F, T>(tables, &key.source, &key.destination, flags)
    {
        return false;
    }
    let generation = client_route::generation(tables);
    let judged = F::NUMBER == 4 && flags & Interface::RP_FILTER != 0;
    work.way = client_route::came_by(packet.interface, UNTAGGED, generation);
    if !nat && !judged {
        return true;
    }
    let answer = client_route::ask(routes, &mut work.lookup, key, device);
    work.asymmetric = client_route::asymmetric(&work.lookup, device);
    let same_way = || work.lookup.interface == device;
    if judged && !source_check::accepts(answer, flags, same_way) {
        return false;
    }
    if !nat {
        return true;
    }
    work.way = client_route::way(tables, &work.lookup, answer, generation);
    answer == Lookup::FOUND
}

/// Inserts the connection of a packet with this hash to a server, and counts it.
#[inline(always)]
fn insert<'a, F: Network, P: Packet, T: Tables + Store<F> + 'a>(
    headers: &Headers<F::Header>,
    tables: T,
    packet: &PlainPacket<'_, F>,
    hash: u64,
    member: &Member,
    work: &mut Work<F>,
) -> Option<Route<'a>> {
    let index = member.server;
    let (server, hop) = reachable::<P, T>(tables, packet.config, index)?;
    let method = Method::from_raw(member.method);
    let route = Route {
        method,
        server,
        hop,
        hash,
    };
    if method == Method::Local || server.source_pool != 0 || !route.fits(packet, &headers.transport)
    {
        return None;
    }
    let state = FirstState::after(packet.protocol, packet.signal, method);
    let Work {
        new,
        way,
        asymmetric,
        ..
    } = work;
    // All but the survey, which whoever makes one begins anew.
    new.key = packet.key(Kind::Request, headers);
    new.record = tables.new_record(index, server.service, method);
    new.client = *way;
    new.partner = table::alone(packet.now);
    new.state = state.number;
    new.half_open = state.half_open;
    new.pinned = false;
    new.now = packet.now;
    new.timeout = packet.timeout(state.number);
    let place = Place::of(hash, Store::<F>::sets(tables));
    if method == Method::Nat {
        new.record.method |= *asymmetric;
        new.into_replies(server);
        let hash = new.key.hash(tables);
        let replies = Place::of(hash, Store::<F>::sets(tables));
        // Both at once: the atomic instructions of an insertion wait for all that was asked for before.
        table::fetch::<F, T>(tables, place);
        table::fetch::<F, T>(tables, replies);
        let reply = table::insert_at_once::<F, T>(tables, replies, new)?;
        new.key = packet.key(Kind::Request, headers);
        new.partner = reply.number;
        new.state = state.number;
        new.timeout = packet.timeout(state.number);
        let connection = table::insert_at_once::<F, T>(tables, place, new).ok_or(());
        table::complete_pair::<F, T, _>(tables, &reply, connection, &state.half_open).ok()?;
    } else {
        table::insert_at_once::<F, T>(tables, place, new)?;
    }
    tables.count_in(server.service, index, packet.wire.traffic, true);
    Some(route)
}
