//! A new connection enters the table.

use super::find::{Connection, find};
use super::{Stage, Work};
use crate::abi::Method;
use crate::connection::table::{self, New, Place, Refused, Store, Survey, Ways};
use crate::connection::{Client, Direction, Kind, Protocol, half_open, udp};
use crate::link::Link;
use crate::network::Network;
use crate::tables::Tables;
use crate::transmit::Route;

/// Enters a connection into the table, for NAT with an entry for its replies.
#[inline(always)]
pub(super) fn connect<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
) -> Result<(), Refused> {
    if !prepare(tables, work) {
        return Err(Refused::Full);
    }
    let place = Place::of(work.forward.hash, Store::<F>::sets(tables));
    let number = table::insert::<F, T>(tables, place, &mut work.new)?.get();
    if work.forward.route.method != Method::Nat {
        return Ok(());
    }
    let hash = prepare_reply(tables, work, number);
    let place = Place::of(hash, Store::<F>::sets(tables));
    let reply = table::insert::<F, T>(tables, place, &mut work.new);
    // Gone already, or another connection's, only if somebody recycled it within this microsecond.
    let Some(slot) =
        table::by_number::<F, T>(tables, number).filter(|slot| slot.set.holds(slot.way, &work.key))
    else {
        return Err(Refused::Full);
    };
    let Ok(reply) = reply else {
        table::remove::<F, T>(tables, &slot);
        return Err(Refused::Full);
    };
    slot.set.set_partner(slot.way, reply.get());
    Ok(())
}

/// Lays out the entry of a new connection.
#[inline(never)]
fn prepare<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> bool {
    let Some(protocol) = work.forward.protocol else {
        return false;
    };
    let forward = &work.forward;
    let method = forward.route.method;
    let direction = if method == Method::Nat {
        Direction::Input
    } else {
        Direction::InputOnly
    };
    let state = forward.signal.next(direction, udp::NORMAL);
    work.new = New {
        key: work.key,
        record: work.record(tables),
        client: heard(forward.interface, &forward.link),
        partner: 0,
        state,
        half_open: protocol == Protocol::Udp || half_open(protocol, state),
        now: forward.now,
        timeout: tables.timeout(protocol, state),
        survey: Survey::default(),
    };
    true
}

/// Turns the entry of a NAT connection into that of its replies.
#[inline(never)]
fn prepare_reply<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
    connection: u32,
) -> u64 {
    let new = &mut work.new;
    if let Some(server) = tables.server(u32::from(new.record.server)) {
        new.key.source = F::narrow(&server.address);
        new.key.ports = work.key.ports.reversed();
        if server.port.get() != 0 {
            new.key.ports.source = server.port;
        }
    }
    new.key.destination = work.key.source;
    new.key.kind = Kind::Reply as u8;
    new.partner = connection;
    new.state = 0;
    // It lives as long as its connection, whose clock is the one that packets keep going.
    new.timeout = u32::MAX;
    F::hash(&new.key, tables)
}

/// Another CPU scheduled the same flow a moment ago: its choice stands.
#[inline(never)]
pub(super) fn rival<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    match find(tables, &work.key, work.forward.now) {
        Some(Connection { record, .. }) => {
            let method = Method::from_raw(record.method);
            work.forward.route = Route::new(u32::from(record.server), method);
            Stage::To
        }
        // It went again at once: there is no choice to follow, and no entry of our own.
        None => Stage::Crowded,
    }
}

/// Where the client's packet came from: where replies go.
#[inline(always)]
pub(super) const fn heard(interface: u32, link: &Link) -> Client {
    Client {
        vlan: link.tags,
        mac: link.source,
        director: link.destination,
        interface,
    }
}
