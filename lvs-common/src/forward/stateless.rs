//! Packets whose connection has no place in the table: forwarded by their flow alone, where that can be.

use super::context::Route;
use super::service::flow;
use super::stage::Stage;
use super::work::Work;
use crate::abi::{Method, Plan};
use crate::connection::table::{self, Place, Store};
use crate::connection::{Signal, tcp};
use crate::network::Network;
use crate::scheduler::{self, Flow, NO_SERVER};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// The table has no room for the connection.
#[inline(never)]
pub(super) fn table_full<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    match tables.plan(work.service) {
        // Only one server listens there, which answers by NAT.
        Some(_) if work.data_server != NO_SERVER => work.end(Verdict::drop(Reason::TableFull)),
        Some(plan) => {
            let flow = flow(&work.key, work.forward.hash);
            stateless(tables, work, plan, &flow)
        }
        None => work.end(Verdict::drop(Reason::TableFull)),
    }
}

/// A packet that belongs to no connection and cannot start one. While its sets are full, or its service holds more
/// than its share of the table, it may belong to one that found no room.
#[inline(always)]
pub(super) fn no_connection<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
    plan: &Plan,
    flow: &Flow,
) -> Stage {
    let place = Place::of(work.forward.hash, Store::<F>::sets(tables));
    let reset = work.forward.signal == Signal::Tcp(tcp::Event::Rst);
    let confined = Store::<F>::crowd(tables).service == plan.service + 1;
    if reset || !(confined || table::full::<F, T>(tables, place)) {
        return work.end(Verdict::pass(Reason::NoConnection));
    }
    stateless(tables, work, plan, flow)
}

/// Forwards by the flow's hash alone; not NAT, whose replies would not find their way back.
#[inline(always)]
fn stateless<F: Network, T: Tables>(
    tables: T,
    work: &mut Work<F>,
    plan: &Plan,
    flow: &Flow,
) -> Stage {
    match scheduler::pick_stateless(tables, plan, flow, &mut work.search) {
        Some((_, member)) if Method::from_raw(member.method) != Method::Nat => {
            work.forward.route = Route {
                reason: Reason::Stateless,
                ..Route::new(member.server, Method::from_raw(member.method))
            };
            work.count(tables, false);
            Stage::ToServer
        }
        _ => work.end(Verdict::drop(Reason::TableFull)),
    }
}
