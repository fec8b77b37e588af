//! Persistence: the connections of one client network go to one real server.
//!
//! A template is an entry of the connection table from the client's network to the service. It decides
//! the server of new connections, also where that server is quiesced or overloaded, until it expires;
//! each new connection that uses it gives it its whole time again.
//!
//! A template costs an entry, and who floods a service with SYNs from invented addresses makes one of
//! each. So it starts half-open like the connections of such a flood, which a set of the table that is short of room
//! recycles first, and is *assured* once one of its connections is established.
//!
//! A template whose server is deleted or down is replaced by the next connection's. One whose server
//! left a SYN unanswered is replaced when the connection is redispatched, unless it is assured: then
//! there are sessions on that server, and one lost packet is no reason to lose them.

use super::call_id;
use super::find::find;
use super::stage::Stage;
use super::work::Work;
use crate::abi::{Method, Plan, Server, ticks};
use crate::connection::table::{self, Place, Refused, Store, Survey, Ways};
use crate::connection::template::{ASSURED, GRACE, UNASSURED, call, call_template, template};
use crate::connection::{Client, EntryId, Protocol, Record, Tag, half_open};
use crate::network::Network;
use crate::tables::Tables;

/// Lays out the key of a client's template, and how long a new one would last.
#[inline(always)]
pub(super) fn prepare_key<F: Network>(work: &mut Work<F>, plan: &Plan) {
    work.new.key = template(work.key.source, &plan.key, plan.prefix);
    work.new.timeout = ticks(plan.persistence);
}

/// Sends a new connection where its client's template says, if there is one.
#[inline(always)]
pub(super) fn recall<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    if !follow(tables, work) {
        return Stage::NoTemplate;
    }
    Stage::Insert
}

/// Takes the route from the template in `new` and restarts it, if it is there and its server still is.
#[inline(never)]
fn follow<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> bool {
    let now = work.forward.now;
    let Some(found) = find(tables, &work.new.key, now.wrapping_sub(GRACE)) else {
        return false;
    };
    let index = tables.server_of(&found.record);
    let unusable = tables
        .server(index)
        .is_none_or(|server| server.flags & (Server::GONE | Server::NO_TEMPLATES) != 0);
    // Nobody of this network has reached the server yet, and now it did not answer.
    let unanswered = index == work.search.avoid && found.slot.tag.state() == UNASSURED;
    if unusable || unanswered {
        table::remove::<F, T>(tables, &found.slot);
        return false;
    }
    let set = found.slot.set;
    // The time it was made with, whatever the operator says of later ones.
    set.touch(found.slot.way, now, set.timeout(found.slot.way));
    work.send_to(index, Method::from_raw(found.record.method));
    if call(&work.new.key).is_some() {
        call_id::remember(tables);
        // Nobody invents a Call-ID twice, and a call may have no connections (one-packet scheduling).
        let tag = found.slot.tag;
        set.exchange(found.slot.way, tag, tag.live(ASSURED, false));
    }
    true
}

/// Inserts the template of a connection whose server was just picked.
#[inline(always)]
pub(super) fn new_template<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    let hash = prepare(tables, work);
    let place = Place::of(hash, Store::<F>::sets(tables));
    // Where there is no room for it the connection is served all the same.
    match table::insert::<F, T>(tables, place, &mut work.new) {
        // Another CPU was faster with a connection of the same network: its choice stands.
        Err(Refused::Exists) => _ = follow(tables, work),
        Ok(_) if call(&work.new.key).is_some() => call_id::remember(tables),
        _ => {}
    }
    Stage::Insert
}

/// Completes the template that was looked for in vain. Returns the hash of its key.
#[inline(never)]
fn prepare<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> u64 {
    let record = work.record(tables);
    let new = &mut work.new;
    new.record = record;
    new.client = Client::default();
    new.partner = table::alone(work.forward.now);
    new.state = UNASSURED;
    new.half_open = true;
    new.pinned = false;
    new.now = work.forward.now;
    new.survey = Survey::default();
    new.key.hash(tables)
}

/// Returns whether a packet established a connection of a persistent service.
#[inline(always)]
pub(super) const fn establishes(
    record: &Record,
    protocol: Protocol,
    before: Tag,
    state: u8,
) -> bool {
    let answered = protocol.active(state) || matches!(protocol, Protocol::Udp);
    record.persistence != 0 && before.is_half_open() && answered && !half_open(protocol, state)
}

/// Keeps the template of a connection that was just established from being recycled, see
/// [`Work::established`].
#[inline(never)]
pub(super) fn assure<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) {
    let persistence = work.new.record.persistence;
    let Some(plan) = tables.plan(tables.service_of(&work.new.record)) else {
        return;
    };
    work.new.key = if persistence == Record::BY_CALL_ID {
        let connection = EntryId::new::<F>(work.number);
        let Some(call) = tables.call_of(connection) else {
            return;
        };
        call_template(call, &plan.key)
    } else {
        // As the service grouped clients when the connection was scheduled.
        let prefix = persistence.wrapping_sub(1);
        template(work.key.source, &plan.key, prefix)
    };
    tables.fence();
    let now = work.forward.now;
    let server = tables.server_of(&work.new.record);
    // One to another server took the place of that which the connection began with.
    if let Some(found) = find(tables, &work.new.key, now.wrapping_sub(GRACE))
        && tables.server_of(&found.record) == server
    {
        let tag = found.slot.tag;
        // Losing this race means that somebody else assured it, or that it is gone.
        found
            .slot
            .set
            .exchange(found.slot.way, tag, tag.live(ASSURED, false));
    }
}
