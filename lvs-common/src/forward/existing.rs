//! A client's packet of a connection that exists.

use super::context::Route;
use super::find::Connection;
use super::persistence;
use super::source_translation;
use super::stage::Stage;
use super::state_change::StateChange;
use super::timeout::timeout;
use super::work::Work;
use crate::abi::{Method, Server};
use crate::connection::table::{Store, Ways};
use crate::connection::{Direction, Protocol, Record, step};
use crate::network::Network;
use crate::tables::Tables;

/// Steps the connection of a client's packet and sends the packet on.
#[inline(always)]
pub(super) fn forward_existing<F: Network, T: Tables + Store<F>>(
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
        tables.server_of(record),
        protocol,
        Direction::from_client(Method::from_raw(record.method)),
        work.forward.signal,
        &mut work.opened,
    );
    work.note_client(tables, *record);
    work.number = slot.number;
    let timeout = timeout(tables, *record, protocol, state);
    send_on(tables, work, connection, timeout);
    if tables.sync().on != 0 {
        work.change = StateChange::of_client(slot, state);
    }
    if persistence::establishes(record, protocol, slot.tag, state) {
        work.new.record = *record;
        work.established = true;
    }
    Stage::ToServer
}

/// Returns whether a connection's server is deleted or down.
#[inline(always)]
pub(super) fn is_orphan<T: Tables>(tables: T, record: &Record) -> bool {
    tables
        .server(tables.server_of(record))
        .is_none_or(|server| server.flags & Server::GONE != 0)
}

/// Sends a client's packet the way of its connection, and counts it.
#[inline(always)]
pub(super) fn send_on<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
    connection: &Connection<F, <T as Store<F>>::Set>,
    timeout: u32,
) {
    let Connection { slot, record, .. } = connection;
    let forward = &mut work.forward;
    let method = Method::from_raw(record.method);
    slot.set.touch(slot.way, forward.now, timeout);
    let (service, server) = (tables.service_of(record), tables.server_of(record));
    tables.count_in(service, server, forward.wire.traffic, false);
    forward.route = Route::new(server, method);
    source_translation::note(work, slot.number, record);
}
