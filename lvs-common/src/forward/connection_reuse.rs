//! A new SYN for a connection that the table still has (`conn_reuse_mode` of IPVS).
//!
//! After the end of the connection the SYN begins a new one, which is scheduled: a server that was quiesced
//! meanwhile, or whose weight changed, gets it only if a scheduler picks it again. While the connection waits
//! for the answer to a SYN, the client repeats its own.

use super::find::Connection;
use super::stage::Stage;
use super::syn_retry::is_answered;
use super::work::Work;
use crate::abi::{Config, Method};
use crate::connection::table::{self, Slot, Store, Ways};
use crate::connection::tcp;
use crate::network::Network;
use crate::scheduler::NO_SERVER;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// The stage of a SYN; `None`: a SYN like any other packet of its connection.
#[inline(always)]
pub(super) fn syn_on_connection<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
    connection: &Connection<F, <T as Store<F>>::Set>,
) -> Option<Stage> {
    let Connection { slot, record, .. } = connection;
    let state = tcp::State::from_raw(slot.tag.state());
    let options = tables.config().map_or(0, |config| config.options);
    let by_nat = Method::from_raw(record.method) == Method::Nat;
    if Config::reuses(options, state, by_nat) {
        table::remove::<F, T>(tables, slot);
        return Some(work.schedule(NO_SERVER));
    }
    // An announced data connection of FTP: its client answers a SYN there, and sends none.
    if state == tcp::State::Listen && !is_answered_at::<F, T>(tables, slot) {
        return Some(work.end(Verdict::pass(Reason::NoConnection)));
    }
    if state == tcp::State::SynReceived {
        work.number = slot.number;
        return Some(Stage::SynRetry);
    }
    None
}

/// Returns whether the server of a NAT connection has sent a SYN.
#[inline(always)]
fn is_answered_at<F: Network, T: Store<F>>(tables: T, slot: &Slot<T::Set>) -> bool {
    let reply = table::by_number::<F, T>(tables, slot.set.partner(slot.way));
    reply.is_some_and(|reply| is_answered(reply.tag))
}
