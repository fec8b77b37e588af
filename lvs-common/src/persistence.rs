//! Persistence: the connections of one client network go to one real server.
//!
//! A template is an entry of the connection table from the client's network to the service. It decides
//! the server of new connections, also where that server is quiesced or overloaded, until it expires;
//! each new connection that uses it gives it its whole time again.
//!
//! A template costs an entry, and who floods a service with SYNs from invented addresses makes one of
//! each. So it starts half-open like the connections of such a flood, which a crowded set of the table
//! recycles first, and is *assured* once one of its connections is established.
//!
//! A template whose server is deleted or down is replaced by the next connection's. One whose server
//! left a SYN unanswered is replaced when the connection is redispatched, unless it is assured: then
//! there are sessions on that server, and one lost packet is no reason to lose them.

use crate::abi::{Method, Plan, ServiceKey, ticks};
use crate::connection::table::{self, Place, Refused, Store, Survey, Ways};
use crate::connection::{Client, Key, Kind, Ports, Protocol, Record, Tag, half_open};
use crate::family::Family;
use crate::forward::{Stage, Work, find};
use crate::network::Network;
use crate::tables::Tables;
use zerocopy::byteorder::network_endian::U16;

/// State of a template of whose connections none was established yet.
pub const UNASSURED: u8 = 0;
/// State of a template that is as good as an established connection.
pub const ASSURED: u8 = 1;

/// Ticks that a template is found beyond its time. Whether connections still need it is found out by
/// sweeps, once a second while the daemon gets to run: until one has looked, its client keeps its server.
pub const GRACE: u32 = ticks(10);

/// The network of a client: the first `prefix` bits of its address.
#[inline(always)]
pub fn network<F: Family>(client: F::Address, prefix: u8) -> F::Address {
    let mut words: [u32; 4] = zerocopy::transmute!(F::widen(client));
    let mut left = u32::from(prefix);
    for word in &mut words {
        let bits = left.min(32);
        left -= bits;
        #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
        let mask = (((1_u64 << bits) - 1) << (32 - bits)) as u32;
        *word &= mask.to_be();
    }
    F::narrow(&zerocopy::transmute!(words))
}

/// What the template of a client is found by: its network and the service's own key, which for a
/// firewall mark names no address (`ip_vs_sched_persist`).
#[inline(always)]
pub fn template<F: Family>(client: F::Address, service: &ServiceKey, prefix: u8) -> Key<F> {
    Key {
        source: network::<F>(client, prefix),
        destination: F::narrow(&service.address),
        ports: Ports {
            source: U16::ZERO,
            destination: service.port,
        },
        protocol: service.protocol,
        kind: Kind::Template as u8,
    }
}

/// Lays out what the template of a packet's client is found by, and how long a new one would last.
#[inline(always)]
pub(crate) fn ask<F: Network>(work: &mut Work<F>, plan: &Plan) {
    work.new.key = template(work.key.source, &plan.key, plan.prefix);
    work.new.timeout = ticks(plan.persistence);
}

/// Sends a new connection where its client's template says, if there is one.
#[inline(always)]
pub(crate) fn recall<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    if !follow(tables, work) {
        return Stage::Stranger;
    }
    Stage::Picked
}

/// Takes the route from the template in `new` and restarts it, if it is there and its server still is.
#[inline(never)]
fn follow<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> bool {
    let now = work.forward.now;
    let Some(found) = find(tables, &work.new.key, now.wrapping_sub(GRACE)) else {
        return false;
    };
    let index = u32::from(found.record.server);
    let unusable = tables.server(index).is_none_or(|server| server.flags != 0);
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
    true
}

/// Enters the template of a connection whose server was just picked.
#[inline(always)]
pub(crate) fn establish<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    let hash = prepare(tables, work);
    let place = Place::of(hash, Store::<F>::sets(tables));
    // Where there is no room for it the connection is served all the same.
    if table::insert::<F, T>(tables, place, &mut work.new) == Err(Refused::Exists) {
        // Another CPU was faster with a connection of the same network: its choice stands.
        follow(tables, work);
    }
    Stage::Picked
}

/// Completes the template that was looked for in vain. Returns the hash of its key.
#[inline(never)]
fn prepare<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> u64 {
    let record = work.record(tables);
    let new = &mut work.new;
    new.record = record;
    new.client = Client::default();
    new.partner = 0;
    new.state = UNASSURED;
    new.half_open = true;
    new.pinned = false;
    new.now = work.forward.now;
    new.survey = Survey::default();
    F::hash(&new.key, tables)
}

/// Whether a packet established a connection of a persistent service.
#[inline(always)]
pub(crate) const fn establishes(
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
pub(crate) fn assure<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) {
    let Record {
        service,
        persistence,
        ..
    } = work.new.record;
    let Some(plan) = tables.plan(u32::from(service)) else {
        return;
    };
    // As the service grouped clients when the connection was scheduled.
    let prefix = persistence.wrapping_sub(1);
    work.new.key = template(work.key.source, &plan.key, prefix);
    tables.settle();
    let now = work.forward.now;
    if let Some(found) = find(tables, &work.new.key, now.wrapping_sub(GRACE)) {
        let tag = found.slot.tag;
        // Losing this race means that somebody else assured it, or that it is gone.
        found
            .slot
            .set
            .exchange(found.slot.way, tag, tag.live(ASSURED, false));
    }
}

#[cfg(test)]
mod tests {
    use super::network;
    use crate::family::{V4, V6};

    #[test]
    fn a_network_is_the_first_bits_of_an_address() {
        let client = [203, 0, 113, 77];
        assert_eq!(network::<V4>(client, 32), client);
        assert_eq!(network::<V4>(client, 26), [203, 0, 113, 64]);
        assert_eq!(network::<V4>(client, 0), [0; 4]);
        let client = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6];
        assert_eq!(network::<V6>(client, 128), client);
        let mut expected = client;
        expected[8..].fill(0);
        assert_eq!(network::<V6>(client, 64), expected);
        expected[7] = 0;
        assert_eq!(network::<V6>(client, 62), expected);
    }
}
