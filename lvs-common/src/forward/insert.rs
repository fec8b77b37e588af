//! A new connection is inserted into the table.

use super::context::Route;
use super::find::{Connection, find};
use super::stage::Stage;
use super::work::Work;
use crate::abi::Method;
use crate::connection::table::{self, Inserted, New, Place, Refused, Store, Survey};
use crate::connection::{FirstState, Key, Protocol};
use crate::network::Network;
use crate::tables::Tables;
use crate::walk::Step;

/// Inserts a connection whose server is known into the table and counts it.
#[inline(always)]
pub(super) fn insert<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    if work.one_packet {
        work.count(tables, true);
        return Stage::ToServer;
    }
    match insert_entries(tables, work) {
        Ok(()) => {
            work.count(tables, true);
            Stage::ToServer
        }
        Err(Refused::Exists) => follow_winner(tables, work),
        Err(Refused::Full) => Stage::TableFull,
    }
}

/// Inserts what a connection needs: its entry, and that of its replies behind NAT.
#[inline(always)]
fn insert_entries<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
) -> Result<(), Refused> {
    work.reply = Inserted::NONE;
    if work.forward.route.method == Method::Nat {
        let hash = prepare_reply(tables, work);
        let place = Place::of(hash, Store::<F>::sets(tables));
        work.reply = table::insert::<F, T>(tables, place, &mut work.new)?;
    }
    prepare(tables, work);
    let place = Place::of(work.forward.hash, Store::<F>::sets(tables));
    let inserted = table::insert::<F, T>(tables, place, &mut work.new);
    if work.reply.number == 0 {
        return inserted.map(|_| ());
    }
    table::complete_pair::<F, T, _>(tables, &work.reply, inserted, &work.new.half_open)?;
    Ok(())
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
        record: work.record(tables),
        client: work.way,
        partner: work.reply.number,
        state: state.number,
        half_open: state.half_open,
        pinned: method == Method::Nat,
        now: forward.now,
        timeout: tables.timeout(protocol, state.number),
        survey: Survey::default(),
    };
}

/// Lays out the entry for the replies of a new NAT connection. Returns the hash of its key.
#[inline(never)]
fn prepare_reply<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> u64 {
    prepare(tables, work);
    let new = &mut work.new;
    if let Some(server) = tables.server(u32::from(new.record.server)) {
        new.into_replies(server);
    }
    new.key.hash(tables)
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
        Some(Connection { record, .. }) => {
            let method = Method::from_raw(record.method);
            work.forward.route = Route::new(u32::from(record.server), method);
            work.count(tables, false);
            Stage::ToServer
        }
        // It went again at once: there is no choice to follow, and no entry of our own.
        None => Stage::TableFull,
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
