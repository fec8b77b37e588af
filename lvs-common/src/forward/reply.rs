//! Replies of real servers behind NAT.

use super::context::{Forward, Rewrite};
use super::find::{Connection, client, find};
use super::persistence;
use super::state_change::StateChange;
use super::syn_retry::note_answer;
use super::work::Work;
use crate::connection::table::{Store, Ways};
use crate::connection::{Direction, Kind, Signal, step, tcp};
use crate::network::Network;
use crate::tables::Tables;

/// Finds the connection that a packet replies to. True: `rewrite` holds what the client asked for and
/// `client` where it is.
#[inline(never)]
pub(super) fn reply<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> bool {
    replied(tables, work).is_some()
}

#[inline(always)]
fn replied<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Option<()> {
    let Forward { now, signal, .. } = work.forward;
    let protocol = work.forward.protocol?;
    work.key = work.forward.key(Kind::Reply);
    let reply = find(tables, &work.key, now)?;
    let connection = client(tables, &reply, now)?;
    let Connection { slot, record, .. } = connection;
    let asked = connection.key();
    work.client = connection.client()?;
    work.forward.rewrite = Rewrite {
        source: asked.destination,
        destination: work.forward.datagram.destination,
        ports: asked.ports.reversed(),
    };
    let state = step::<F, T>(
        tables,
        &slot,
        record.server,
        protocol,
        Direction::Output,
        signal,
    );
    if signal == Signal::Tcp(tcp::Event::Syn) {
        note_answer(&reply.slot);
    }
    slot.set
        .touch_reply(slot.way, now, tables.timeout(protocol, state));
    if tables.sync().on != 0 {
        work.change = StateChange::of_server(&slot, state);
    }
    let (service, server) = (u32::from(record.service), u32::from(record.server));
    tables.count_out(service, server, work.forward.wire.traffic);
    if persistence::establishes(&record, protocol, slot.tag, state) {
        work.key = asked;
        work.new.record = record;
        work.established = true;
    }
    Some(())
}
