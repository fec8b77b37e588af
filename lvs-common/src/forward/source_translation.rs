//! The source that a real server behind NAT sees.
//!
//! A reply leads to its connection by the server's address and port and by where the server sent it. So
//! what is unique of a connection is not only what its client sent, but also the source that its server sees:
//!
//! - By NAT that is the client's own address and port. One client port that talks to two virtual services of the
//!   same real server would be one source for two connections: the second one gets another port, and only that.
//! - By full NAT it is an address of the director's [`SourcePool`], with a port of it.
//!
//! The entry of the replies is the arbiter between CPUs: a source is free if that entry can be inserted. Candidates
//! begin at a place that the client's addresses and ports decide and go on in strides that they decide, too. What
//! was chosen stands in the key of that entry, as the destination of the replies; the connection's record says by
//! [`Record::TRANSLATED`] that it is not the client's own.

use core::marker::PhantomData;

use super::context::Source;
use super::icmp_answer::answer;
use super::icmp_error::IcmpError;
use super::new_entry::prepare_replies;
use super::source_candidates::{CANDIDATES, Candidates};
use super::stage::Stage;
use super::work::{PATIENCE, Work};
use crate::abi::{FIRST_PORT, Hop, SourcePool};
use crate::connection::table::{self, New, Place, Slot, Store, Ways};
use crate::connection::{Ports, Record};
use crate::diagnosis::Finding;
use crate::family::{Family, V4};
use crate::network::Network;
use crate::scheduler::NO_SERVER;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::walk::Step;

/// Privileged ports that stand in for each other, as the kernel's NAT has them (`nf_nat_l4proto_unique_tuple`): those
/// below have their own services.
const PRIVILEGED: u32 = 512;

/// Tries to insert the entry of the replies for one candidate after the other.
#[repr(C, align(8))]
struct Search<'a, F: Family, T> {
    tables: T,
    new: &'a mut New<F>,
    candidates: &'a mut Candidates<F>,
}

impl<F: Family, T: Tables + Store<F>> Step for Search<'_, F, T> {
    #[inline(always)]
    fn step(&mut self, turn: u32) -> bool {
        let tables = self.tables;
        if turn != 0 || !self.candidates.own_first {
            if turn >= self.candidates.count {
                return false;
            }
            self.candidates.next(self.new);
        }
        tables.fence();
        let place = Place::of(self.new.key.hash(tables), Store::<F>::sets(tables));
        if let Some(inserted) = table::insert_at_once::<F, T>(tables, place, self.new) {
            self.candidates.inserted = inserted;
            return false;
        }
        // Asked in this order: what is claimed may be found the next moment.
        let claimed = table::is_claimed::<F, T>(tables, place);
        self.candidates.crowded =
            !claimed && table::find::<F, T>(tables, &self.new.key, place).is_none();
        !self.candidates.crowded
    }
}

/// Chooses the source of a new connection, whose route is known, and inserts the entry of its replies if that has
/// room at a glance. [`Stage::ReplySource`]: all that were tried are in use.
#[inline(never)]
pub(super) fn choose<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    prepare_replies(tables, work);
    if let Err(verdict) = lay_out(tables, work) {
        return work.end(verdict);
    }
    tables.fence();
    tables.walk(
        CANDIDATES,
        &mut Search {
            tables,
            new: &mut work.new,
            candidates: &mut work.candidates,
        },
    );
    tables.fence();
    let Candidates {
        inserted, crowded, ..
    } = work.candidates;
    work.reply = inserted;
    // The choice before this one, if there was one, may have been another source.
    work.forward.route.source = Source::Client;
    if inserted.number == 0 && !crowded {
        return Stage::ReplySource;
    }
    let (address, ports) = (work.new.key.destination, work.new.key.ports);
    let translated = address != work.key.source || ports.destination != work.key.ports.source;
    if translated || work.data_server != NO_SERVER {
        work.forward.rewrite.source = address;
        work.forward.rewrite.ports = ports.reversed();
        work.forward.route.source = Source::Known;
    }
    if inserted.number == 0 {
        return Stage::InsertReplies;
    }
    Stage::InsertConnection
}

/// Lays out the sources that a connection may have.
#[inline(always)]
fn lay_out<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Result<(), Verdict> {
    const FIRST: u32 = FIRST_PORT as u32;
    let server = tables
        .server(work.forward.route.server)
        .ok_or(Verdict::drop(Reason::ServerDeleted))?;
    let hash = work.forward.hash;
    if server.source_pool == 0 {
        let ports = match u32::from(work.key.ports.source.get()) {
            port if port >= FIRST => [FIRST, 0xffff],
            _ => [PRIVILEGED, FIRST - 1],
        };
        work.candidates = Candidates::new(work.key.source, 1, ports, hash, true);
        return Ok(());
    }
    let unresolved = Verdict::drop(Reason::Unresolved);
    let pool = tables
        .source_pool(u32::from(server.source_pool))
        .ok_or(unresolved)?;
    let ports = [pool.first_port, pool.last_port].map(u32::from);
    let mut first = pool.first;
    if pool.flags & SourcePool::ROUTE != 0 {
        let hop = tables.hop(server.hop).ok_or(unresolved)?;
        if hop.flags & Hop::UNREACHABLE != 0 {
            return Err(answer(&mut work.forward, IcmpError::HostUnreachable));
        }
        first = match F::NUMBER {
            4 => V4::widen(hop.source4),
            _ => hop.source6,
        };
    }
    // Without a route its hop, number 0, is all zero.
    if first == [0; 16] {
        return Err(unresolved);
    }
    work.candidates = Candidates::new(F::narrow(&first), pool.addresses, ports, hash, false);
    Ok(())
}

/// Notes of a packet's connection whether its source is translated; [`recall`] finds out how.
#[inline(always)]
pub(super) const fn note<F: Family>(work: &mut Work<F>, number: u32, record: &Record) {
    if record.is_translated() {
        work.number = number;
        work.forward.route.source = Source::Connection;
    }
}

/// Reads the source of a packet's connection, which is translated, into [`Work::forward`]. A connection whose
/// replies' entry is gone is about to go, too: its packets are of no connection.
#[inline(never)]
pub(super) fn recall<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    let Some(slot) = table::by_number::<F, T>(tables, work.number) else {
        return work.end(Verdict::pass(Reason::NoConnection));
    };
    let mut wait = Wait::<F, T> {
        tables,
        number: slot.set.partner(slot.way),
        family: PhantomData,
    };
    tables.walk(PATIENCE, &mut wait);
    let Some(source) = source_of::<F, T>(tables, &slot) else {
        tables.found(Finding::RepliesGone, work.number);
        return work.end(Verdict::pass(Reason::NoConnection));
    };
    work.forward.rewrite.source = source.address;
    work.forward.rewrite.ports = source.ports;
    work.forward.route.source = Source::Known;
    Stage::ToServer
}

/// Looks again and again until a replies' entry is tied to its connection, or gone.
#[repr(C, align(8))]
struct Wait<F, T> {
    tables: T,
    number: u32,
    family: PhantomData<F>,
}

impl<F: Family, T: Tables + Store<F>> Step for Wait<F, T> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        table::by_number::<F, T>(self.tables, self.number)
            .is_some_and(|reply| reply.set.partner(reply.way) == 0)
    }
}

/// A source that a real server sees.
#[derive(Clone, Copy)]
pub(super) struct TranslatedSource<F: Family> {
    pub(super) address: F::Address,
    /// Its port, and the server's own.
    pub(super) ports: Ports,
}

/// The source of a translated connection that was found.
#[inline(always)]
pub(super) fn source_of<F: Family, T: Store<F>>(
    tables: T,
    slot: &Slot<T::Set>,
) -> Option<TranslatedSource<F>> {
    let reply = table::by_number::<F, T>(tables, slot.set.partner(slot.way))?;
    let key = reply.set.key(reply.way);
    let tied = reply.set.partner(reply.way) == slot.number && table::unchanged(&reply);
    tied.then_some(TranslatedSource {
        address: key.destination,
        ports: key.ports.reversed(),
    })
}
