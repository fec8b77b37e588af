//! A new connection is inserted into the table.

use super::call_id;
use super::context::Route;
use super::find::{Connection, find};
use super::ftp;
use super::new_entry::prepare;
use super::source_translation;
use super::stage::Stage;
use super::work::{PATIENCE, Work};
use crate::abi::Method;
use crate::connection::table::{self, Inserted, Place, Refused, Store};
use crate::connection::{Key, Record};
use crate::diagnosis::Finding;
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
        Err(refused) if ftp::announces(work) => ftp::not_announced(tables, work, refused),
        Err(Refused::Exists) => match follow_winner(tables, work) {
            // Another connection has the source since a moment: there are others.
            Stage::Ended => Stage::ReplySource,
            followed => followed,
        },
        Err(Refused::Full) => Stage::TableFull,
    }
}

/// Inserts the connection itself and counts it.
#[inline(always)]
pub(super) fn insert_connection<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    if ftp::announces(work) {
        ftp::prepare(tables, work);
    } else {
        prepare(tables, work);
    }
    let place = Place::of(work.forward.hash, Store::<F>::sets(tables));
    let mut inserted = table::insert::<F, T>(tables, place, &mut work.new);
    if work.reply.number != 0 {
        inserted =
            table::complete_pair::<F, T, _>(tables, &work.reply, inserted, &work.new.half_open);
    }
    match inserted {
        Ok(_) if ftp::announces(work) => ftp::count(tables, work),
        Err(refused) if ftp::announces(work) => ftp::not_announced(tables, work, refused),
        Ok(_) => {
            if work.persistence == Record::BY_CALL_ID {
                call_id::remember_connection(tables, work);
            }
            // One that is scheduled again is the same to its client.
            work.opened = u32::from(work.search.avoid == NO_SERVER);
            work.count(tables, true);
            Stage::ToServer
        }
        Err(Refused::Exists) => follow_winner(tables, work),
        Err(Refused::Full) => Stage::TableFull,
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
    let found = find(tables, &work.key, work.forward.now);
    let Some(Connection { record, slot, .. }) = found else {
        // It went again at once: there is no choice to follow, and no entry of our own.
        tables.found(Finding::WinnerGone, work.service);
        return work.end(Verdict::drop(Reason::NoSource));
    };
    let method = Method::from_raw(record.method);
    work.forward.route = Route::new(tables.server_of(&record), method);
    source_translation::note(work, slot.number, &record);
    work.count(tables, false);
    Stage::ToServer
}

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
