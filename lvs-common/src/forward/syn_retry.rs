//! SYN retries: a client that repeats its SYN, whose server may be dead.
//!
//! A server that forwards by direct routing or tunnel answers past the director, which sees only the
//! client: that one repeats its SYN (RFC 6298: after a second) because no SYN/ACK arrived. Behind NAT
//! the director sees the SYN/ACK too, and a repetition after it says nothing about the server. It also sees a
//! refusal, which it keeps from the client once (`reply`): the next SYN comes a second later and goes elsewhere.

use super::existing::{is_orphan, send_on};
use super::find::{Connection, again};
use super::ftp;
use super::stage::Stage;
use super::work::Work;
use crate::abi::Plan;
use crate::connection::table::{self, Slot, Store, Ways};
use crate::connection::{Protocol, Tag, tcp};
use crate::family::Family;
use crate::network::Network;
use crate::scheduler::NO_SERVER;
use crate::tables::Tables;

/// State of a reply entry whose server has answered the SYN; until then it is 0.
const ANSWERED: u8 = 1;

/// Counts the repetition; redispatches the connection if its service wants that.
#[inline(never)]
pub(super) fn syn_retry<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    let Some(connection) = again(tables, work) else {
        return work.schedule(NO_SERVER);
    };
    let Connection { slot, record, .. } = connection;
    let orphan = is_orphan(tables, &record);
    let reply = table::by_number::<F, T>(tables, slot.set.partner(slot.way));
    if reply.is_none_or(|reply| !is_answered(reply.tag)) {
        let server = tables.server_of(&record);
        if !orphan {
            tables.count_syn_retry(server);
        }
        let plan = tables.plan(tables.service_of(&record));
        if plan.is_some_and(|plan| {
            plan.flags & Plan::REDISPATCH != 0 && !ftp::is_data(plan, &record, &work.key)
        }) {
            table::remove::<F, T>(tables, &slot);
            return work.schedule(server);
        }
    }
    if orphan {
        return Stage::Orphan;
    }
    // SYN_RECV is where a SYN leads from SYN_RECV.
    let state = tcp::State::SynReceived as u8;
    let timeout = tables.timeout(Protocol::Tcp, state);
    send_on(tables, work, &connection, timeout);
    Stage::ToServer
}

/// Returns whether the server has sent a SYN/ACK, by the tag of a reply entry.
#[inline(always)]
pub(super) const fn is_answered(reply: Tag) -> bool {
    reply.state() == ANSWERED
}

/// Notes on a reply entry that its server sent a SYN/ACK.
#[inline(always)]
pub(super) fn note_answer<F: Family, S: Ways<F>>(reply: &Slot<S>) {
    let tag = reply.tag;
    // Losing this race means that the connection has moved on already.
    reply
        .set
        .exchange(reply.way, tag, tag.live(ANSWERED, tag.is_half_open()));
}
