//! The first stage: parse a packet and find its connection.

use super::announce::News;
use super::enter::heard;
use super::find::{Connection, find_at};
use super::transport::transport;
use super::{Stage, Work};
use crate::abi::{Address, Method, concern_bit};
use crate::connection::table::{self, Place, Store, Ways};
use crate::connection::{Direction, Kind, Protocol, Record, Signal, step, tcp};
use crate::network::Network;
use crate::packet::Packet;
use crate::persistence;
use crate::schedule::NOBODY;
use crate::tables::Tables;
use crate::transmit::Route;
use crate::verdict::{Reason, Verdict};

/// Parses a packet and finds its connection.
#[inline(never)]
pub(super) fn arrive<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &P,
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    work.established = false;
    work.news = News::NONE;
    work.forward.interface = packet.interface();
    let start = work.forward.link.payload;
    let parsed = F::parse(packet, tables, start, &mut work.forward.datagram);
    if let Err(reason) = parsed {
        return work.end(Verdict::drop(reason));
    }
    tables.settle();
    let datagram = &work.forward.datagram;
    if datagram.protocol == F::ICMP {
        return Stage::Icmp;
    }
    let to_virtual = concerns(tables, &F::widen(datagram.destination));
    if !to_virtual && !concerns(tables, &F::widen(datagram.source)) {
        return work.end(Verdict::pass(Reason::NotOurs));
    }
    let Some(protocol) = Protocol::from_number(datagram.protocol) else {
        return work.end(Verdict::pass(Reason::OtherProtocol));
    };
    if let Err(verdict) = transport(packet, tables, &mut work.forward, protocol) {
        return work.end(verdict);
    }
    work.forward.protocol = Some(protocol);
    work.forward.now = tables.now();
    if !to_virtual {
        work.verdict = Verdict::pass(Reason::NoConnection);
        return Stage::Reply;
    }
    work.key = work.forward.key(Kind::Request);
    work.forward.hash = F::hash(&work.key, tables);
    tables.settle();
    let place = Place::of(work.forward.hash, Store::<F>::sets(tables));
    let Some(connection) = find_at(tables, &work.key, place, work.forward.now) else {
        return work.unknown(NOBODY);
    };
    if work.forward.signal == Signal::Tcp(tcp::Event::Syn) {
        let state = tcp::State::from_raw(connection.slot.tag.state());
        // A SYN on a connection that is over starts a new one (`conn_reuse_mode` 1).
        if state.reusable() {
            table::remove::<F, T>(tables, &connection.slot);
            return work.unknown(NOBODY);
        }
        if state == tcp::State::SynReceived {
            work.number = connection.slot.number;
            return Stage::Repeated;
        }
    }
    known(tables, work, protocol, &connection)
}

/// Whether the director may have to do with an address: false positives are possible.
#[inline(always)]
pub fn concerns<T: Tables>(tables: T, address: &Address) -> bool {
    concern(tables, address) & 1 != 0
}

/// The same in the lowest bit.
#[inline(always)]
pub(super) fn concern<T: Tables>(tables: T, address: &Address) -> u64 {
    let (word, bit) = concern_bit(address);
    tables.concern(word) >> bit
}

/// A packet of a known connection, from the client.
#[inline(always)]
fn known<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
    protocol: Protocol,
    connection: &Connection<F, <T as Store<F>>::Set>,
) -> Stage {
    let Connection { slot, record, .. } = connection;
    if is_orphan(tables, record) {
        work.number = slot.number;
        return Stage::Orphan;
    }
    let state = step::<F, T>(
        tables,
        slot,
        record.server,
        protocol,
        input(record),
        work.forward.signal,
    );
    stay(tables, work, connection, tables.timeout(protocol, state));
    if tables.sync().on != 0 {
        work.news = News::of_client(slot, state);
    }
    if persistence::establishes(record, protocol, slot.tag, state) {
        work.new.record = *record;
        work.established = true;
    }
    Stage::To
}

/// Whether a connection's server is deleted or down.
#[inline(always)]
pub(super) fn is_orphan<T: Tables>(tables: T, record: &Record) -> bool {
    tables
        .server(u32::from(record.server))
        .is_none_or(|server| server.flags != 0)
}

/// The direction of a client's packets.
#[inline(always)]
pub(super) fn input(record: &Record) -> Direction {
    if Method::from_raw(record.method) == Method::Nat {
        Direction::Input
    } else {
        Direction::InputOnly
    }
}

/// Sends a client's packet where its connection's packets go.
#[inline(always)]
pub(super) fn stay<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
    connection: &Connection<F, <T as Store<F>>::Set>,
    timeout: u32,
) {
    let Connection { slot, record, .. } = connection;
    let forward = &mut work.forward;
    let method = Method::from_raw(record.method);
    slot.set.touch(slot.way, forward.now, timeout);
    if method == Method::Nat {
        let heard = heard(forward.interface, &forward.link);
        if slot.set.client(slot.way) != heard {
            slot.set.learn(slot.way, &heard);
        }
    }
    let (service, server) = (u32::from(record.service), u32::from(record.server));
    tables.count_in(service, server, forward.datagram.length(), false);
    forward.route = Route::new(server, method);
}
