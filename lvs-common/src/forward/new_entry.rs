//! The entries of a new connection are laid out.

use super::context::Source;
use super::timeout::timeout;
use super::work::Work;
use crate::abi::Method;
use crate::connection::table::{self, New, Store, Survey};
use crate::connection::{FirstState, Protocol, Record};
use crate::network::Network;
use crate::scheduler::NO_SERVER;
use crate::tables::Tables;

/// Lays out the entry of a new connection.
#[inline(never)]
pub(super) fn prepare<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) {
    let forward = &work.forward;
    let method = forward.route.method;
    // There always is one: nothing else is scheduled.
    let protocol = forward.protocol.unwrap_or(Protocol::Tcp);
    let state = FirstState::after(protocol, forward.signal, method);
    let record = work.record(tables);
    let translated = translated(forward.route.source);
    let record = record.with(record.method | translated, record.persistence);
    work.new = New {
        key: work.key,
        record,
        client: work.way,
        partner: match work.reply.number {
            0 => table::alone(forward.now),
            number => number,
        },
        state: state.number,
        half_open: state.half_open,
        pinned: method == Method::Nat,
        now: forward.now,
        timeout: timeout(tables, record, protocol, state.number),
        survey: Survey::default(),
    };
}

/// The bit of [`Record::method`] where the entry of the replies holds what the server sees, or 0.
#[inline(always)]
const fn translated(source: Source) -> u8 {
    match source {
        Source::Client => 0,
        Source::Connection | Source::Known => Record::TRANSLATED,
    }
}

/// Lays out the entry for the replies of a new NAT connection, as if its server saw the client's own source.
#[inline(never)]
pub(super) fn prepare_replies<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) {
    prepare(tables, work);
    let keeps_port = work.data_server != NO_SERVER;
    let new = &mut work.new;
    if let Some(server) = tables.server(tables.server_of(&new.record)) {
        new.into_replies(server);
    }
    if keeps_port {
        new.key.ports.source = work.key.ports.destination;
    }
}
