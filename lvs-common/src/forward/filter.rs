//! The filter of a service: which clients may begin connections, and how much of everything they may do.
//!
//! Netfilter does not see what the program forwards, so that this stands in its place. The lists are asked about
//! packets of no known connection, by the fast path, too. Limits per client are for the stages alone: connections of
//! a service that limits packets carry [`Record::PACED`], with which the fast path leaves each of their packets. A
//! filter that changes ends no connection.

use super::work::Work;
use crate::abi::{Filter, Plan, Refused};
use crate::connection::Record;
use crate::filter::clients::{self, ClientKey};
use crate::filter::lists;
use crate::network::Network;
use crate::scheduler::NO_SERVER;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// The filter's say about the first packet of a connection, as far as the fast path goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Go on.
    Admitted,
    /// The lists do not admit its client: it was counted.
    Denied,
    /// There are limits: for the stages.
    Limited,
}

/// Asks the filter of a plan that has one.
#[inline(always)]
pub(super) fn judge<F: Network, T: Tables>(
    tables: T,
    plan: &Plan,
    source: F::Address,
) -> Judgement {
    let Some(filter) = tables.filter(plan.filter) else {
        return Judgement::Limited;
    };
    if filter.flags & Filter::LIMITS != 0 {
        return Judgement::Limited;
    }
    if filter.flags & Filter::LISTS != 0
        && !lists::admits::<F>(filter, source, |node| tables.filter_node(node))
    {
        tables.count_refused(plan.service, Refused::Denied as u32);
        return Judgement::Denied;
    }
    Judgement::Admitted
}

/// The verdict of the fast path on a client that the lists do not admit.
pub(super) const DENIED: Verdict = Verdict::drop(Reason::Denied);

/// [`Work::refused`] of a packet that is not.
const ADMITTED: u32 = 0xff;

/// Asks the filter of a plan that has one about a packet of no known connection, [`Work::opens`] says which kind. If it
/// is to begin one, the work then has the bits of its record. The verdict is in the work if it is refused.
///
/// A connection that is scheduled again because its server is down is the same to its client.
#[inline(never)]
pub(super) fn refuses<F: Network, T: Tables>(tables: T, work: &mut Work<F>, number: u32) -> bool {
    let Some(filter) = tables.filter(number) else {
        return false;
    };
    work.limits = record_bits(filter.flags);
    if work.search.avoid != NO_SERVER {
        return false;
    }
    let source = work.key.source;
    if filter.flags & Filter::LISTS != 0
        && !lists::admits::<F>(filter, source, |node| tables.filter_node(node))
    {
        return refuse(tables, work, Refused::Denied as u32);
    }
    if filter.flags & Filter::LIMITS == 0 {
        return false;
    }
    limited(tables, work, filter, u32::from(work.opens))
}

/// The bits of a record that go with the flags of a filter: moved, as a verifier follows no other path then.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "two bits of the lowest byte"
)]
const fn record_bits(flags: u32) -> u8 {
    const {
        assert!(Record::COUNTED as u32 == Filter::OPEN << 4);
        assert!(Record::PACED as u32 == Filter::SENDING << 2);
    }
    ((flags & Filter::OPEN) << 4 | (flags & Filter::SENDING) << 2) as u8
}

/// Returns whether a packet of a known connection is one too many of its client, with the verdict in the work.
#[inline(never)]
pub(super) fn refuses_packet<F: Network, T: Tables>(
    tables: T,
    work: &mut Work<F>,
    service: u32,
) -> bool {
    work.service = service;
    let plan = tables.plan(service);
    let Some(filter) = plan.and_then(|plan| tables.filter(plan.filter)) else {
        return false;
    };
    // The connection may be older than the filter.
    limited(tables, work, filter, Filter::SENDING)
}

/// Judges a packet by those of the limits.
#[inline(always)]
fn limited<F: Network, T: Tables>(tables: T, work: &mut Work<F>, filter: &Filter, of: u32) -> bool {
    let key = ClientKey::new(filter.mask, work.service, &F::widen(work.key.source));
    let now = work.forward.now;
    work.refused = ADMITTED;
    let place = clients::place(tables, &key, now);
    if let Some(client) = clients::at(tables, place) {
        clients::spend(client, filter, filter.flags & of, now, &mut work.refused);
    }
    if place.has_forgotten() {
        tables.count_refused(key.service, Refused::Forgotten as u32);
    }
    tables.fence();
    let refused = work.refused;
    refused != ADMITTED && refuse(tables, work, refused)
}

/// Counts the connection whose key the work has among those its client has open, or no longer, if its service limits
/// them.
#[inline(never)]
pub(super) fn count_open<F: Network, T: Tables>(tables: T, work: &Work<F>) {
    if work.limits & Record::COUNTED == 0 {
        return;
    }
    clients::account(
        tables,
        work.service,
        &F::widen(work.key.source),
        work.opened,
    );
}

/// Counts a refusal and leaves its verdict in the work.
#[inline(always)]
fn refuse<F: Network, T: Tables>(tables: T, work: &mut Work<F>, refused: u32) -> bool {
    tables.count_refused(work.service, refused);
    work.verdict = Verdict::drop(Reason::Denied).later(refused & 3);
    true
}
