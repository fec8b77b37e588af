//! Replies of real servers behind NAT. `fast_path/established.rs` does the same for plain packets.

use super::context::Rewrite;
use super::find::{Connection, client, find};
use super::ftp;
use super::persistence;
use super::source_check;
use super::stage::Stage;
use super::state_change::StateChange;
use super::syn_retry::{is_answered, note_answer};
use super::timeout::timeout;
use super::upper_device::device;
use super::work::Work;
use crate::abi::Plan;
use crate::connection::table::{self, Slot, Store, Ways};
use crate::connection::{Direction, Key, Kind, Record, Signal, step, tcp};
use crate::network::Network;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// Finds the connection that a packet replies to. Then `key` and `rewrite` hold what the client asked for, and
/// `way` what its entry knows of the way to it.
#[inline(never)]
pub(super) fn reply<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    replied(tables, work).unwrap_or(Stage::ProbeAnswer)
}

#[inline(always)]
fn replied<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Option<Stage> {
    let now = work.forward.now;
    let protocol = work.forward.protocol?;
    work.key = work.forward.key(Kind::Reply);
    let reply = find(tables, &work.key, now)?;
    let connection = client(tables, &reply, now)?;
    let Connection { slot, record, .. } = connection;
    let asked = connection.key();
    work.way = slot.set.client(slot.way);
    if !table::unchanged(&slot) {
        return None;
    }
    let device = device(tables, work.forward.interface, work.forward.ethernet.vlans);
    let server = tables.server_of(&record);
    if !source_check::is_from_server(tables, server, device) {
        if source_check::refuses_reply::<F, T>(tables, server, device) {
            return Some(work.end(Verdict::drop(Reason::RpFilter)));
        }
        let signal = work.forward.signal;
        work.forward.signal = source_check::trusted(signal, protocol, slot.tag.state());
    }
    tables.fence();
    work.before = slot.tag.state();
    let signal = work.forward.signal;
    if signal == Signal::Tcp(tcp::Event::Rst) && is_refusal(&slot, &reply.slot) {
        tables.count_syn_retry(server);
        if is_redispatched(tables, &record, &asked) {
            return Some(work.end(Verdict::drop(Reason::Refused)));
        }
    }
    work.number = slot.number;
    work.key = asked;
    work.forward.rewrite = Rewrite {
        source: asked.destination,
        destination: asked.source,
        ports: asked.ports.reversed(),
    };
    let state = step::<F, T>(
        tables,
        &slot,
        server,
        protocol,
        Direction::Output,
        signal,
        &mut work.opened,
    );
    work.note_client(tables, record);
    if signal == Signal::Tcp(tcp::Event::Syn) {
        note_answer(&reply.slot);
    }
    slot.set
        .touch_reply(slot.way, now, timeout(tables, record, protocol, state));
    if tables.sync().on != 0 {
        work.change = StateChange::of_server(&slot, state);
    }
    tables.count_out(work.service, server, work.forward.wire.traffic);
    if persistence::establishes(&record, protocol, slot.tag, state) {
        work.new.record = record;
        work.established = true;
    }
    Some(Stage::ToClient)
}

/// Returns whether a server's reset refuses a connection.
#[inline(always)]
fn is_refusal<S>(connection: &Slot<S>, reply: &Slot<S>) -> bool {
    connection.tag.state() == tcp::State::SynReceived as u8 && !is_answered(reply.tag)
}

/// Returns whether a refused connection may go to another server: the client does not hear of the refusal, and its next
/// SYN is redispatched. What the second server says stands.
#[inline(always)]
fn is_redispatched<F: Network, T: Tables>(tables: T, record: &Record, key: &Key<F>) -> bool {
    if record.method & Record::REDISPATCHED != 0 {
        return false;
    }
    let plan = tables.plan(tables.service_of(record));
    plan.is_some_and(|plan| {
        plan.flags & Plan::REDISPATCH != 0
            && plan.member_count > 1
            && !ftp::is_data(plan, record, key)
    })
}
