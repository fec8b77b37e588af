//! A new connection is inserted into the table.

use super::context::{Route, Source};
use super::find::{Connection, find};
use super::source_translation;
use super::stage::Stage;
use super::work::Work;
use crate::abi::Method;
use crate::connection::table::{self, Inserted, New, Place, Refused, Store, Survey};
use crate::connection::{FirstState, Key, Protocol, Record};
use crate::network::Network;
use crate::scheduler::NO_SERVER;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::walk::Step;

/// Begins the insertion of a connection whose server is known.
#[inline(always)]
pub(super) fn insert<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    work.reply = Inserted::NONE;
    if work.one_packet {
        work.count(tables, true);
        return Stage::ToServer;
    }
    if work.forward.route.method == Method::Nat {
        return Stage::ReplySource;
    }
    Stage::InsertConnection
}

/// Inserts the entry for the replies of a NAT connection, which `new` holds, into sets that are short of room.
#[inline(always)]
pub(super) fn insert_replies<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    let place = Place::of(work.new.key.hash(tables), Store::<F>::sets(tables));
    match table::insert_anywhere::<F, T>(tables, place, &mut work.new) {
        Ok(inserted) => {
            work.reply = inserted;
            Stage::InsertConnection
        }
        Err(Refused::Exists) => follow_winner(tables, work),
        Err(Refused::Full) => Stage::TableFull,
    }
}

/// Inserts the connection itself and counts it.
#[inline(always)]
pub(super) fn insert_connection<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    prepare(tables, work);
    let place = Place::of(work.forward.hash, Store::<F>::sets(tables));
    let mut inserted = table::insert::<F, T>(tables, place, &mut work.new);
    if work.reply.number != 0 {
        inserted =
            table::complete_pair::<F, T, _>(tables, &work.reply, inserted, &work.new.half_open);
    }
    match inserted {
        Ok(_) => {
            // One that is scheduled again is the same to its client.
            work.opened = u32::from(work.search.avoid == NO_SERVER);
            work.count(tables, true);
            Stage::ToServer
        }
        Err(Refused::Exists) => follow_winner(tables, work),
        Err(Refused::Full) => Stage::TableFull,
    }
}

/// Lays out the entry of a new connection.
#[inline(never)]
fn prepare<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) {
    let forward = &work.forward;
    let method = forward.route.method;
    // There always is one: nothing else is scheduled.
    let protocol = forward.protocol.unwrap_or(Protocol::Tcp);
    let state = FirstState::after(protocol, forward.signal, method);
    work.new = New {
        key: work.key,
        record: Record {
            method: method as u8 | translated(forward.route.source) | work.limits,
            ..work.record(tables)
        },
        client: work.way,
        partner: match work.reply.number {
            0 => table::alone(forward.now),
            number => number,
        },
        state: state.number,
        half_open: state.half_open,
        pinned: method == Method::Nat,
        now: forward.now,
        timeout: tables.timeout(protocol, state.number),
        survey: Survey::default(),
    };
}

/// What a record's method says of the source.
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
    let new = &mut work.new;
    if let Some(server) = tables.server(u32::from(new.record.server)) {
        new.into_replies(server);
    }
}

/// Another CPU scheduled the same flow a moment ago: its choice stands.
#[inline(never)]
fn follow_winner<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    // Of a NAT connection the reply entry comes first: it may be all that was to be seen.
    tables.walk(
        PATIENCE,
        &mut Wait {
            tables,
            key: &work.key,
            place: Place::of(work.forward.hash, Store::<F>::sets(tables)),
        },
    );
    match find(tables, &work.key, work.forward.now) {
        Some(Connection { record, slot, .. }) => {
            let method = Method::from_raw(record.method);
            work.forward.route = Route::new(u32::from(record.server), method);
            source_translation::note(work, slot.number, &record);
            work.count(tables, false);
            Stage::ToServer
        }
        // It went again at once, or the source was taken by another connection at this very moment: there is no
        // choice to follow, and no entry of our own.
        None => work.end(Verdict::drop(Reason::NoSource)),
    }
}

/// Looks that the other CPU's insertion is waited for: a few microseconds.
const PATIENCE: u32 = 128;

/// Looks again and again until a key can be found.
#[repr(C, align(8))]
struct Wait<'a, F: Network, T> {
    tables: T,
    key: &'a Key<F>,
    place: Place,
}

impl<F: Network, T: Tables + Store<F>> Step for Wait<'_, F, T> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        table::find_first::<F, T>(self.tables, self.key, self.place).is_none()
    }
}
