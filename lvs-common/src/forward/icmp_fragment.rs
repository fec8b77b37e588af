//! Fragments of ICMP errors: the first one has the packet that the error is about, and with it the connection. The
//! later ones follow it by the number of that connection's entry.
//!
//! Errors are 576 bytes long at most over IPv4, 1,280 over IPv6, so that few are ever in fragments. A later fragment to
//! a virtual address that comes before the first one is held like those of other packets; to a client nothing tells it
//! from what is merely routed here, and it is the kernel's.

use super::addr_filter::matches_filter;
use super::context::{Rewrite, Route, Source};
use super::find::is_expired;
use super::stage::Stage;
use super::work::Work;
use crate::abi::Method;
use crate::aligned::Aligned;
use crate::connection::table::{self, Store, Ways};
use crate::connection::{Kind, Ports, Protocol, Signal};
use crate::network::{Network, Part};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// Bit of the word that is kept for the later fragments: they go to the client. Entries have smaller numbers.
pub(super) const TO_CLIENT: u32 = 1 << 31;
/// Bit of that word: they come from the source that the server sees in the client's place.
pub(super) const FROM_TRANSLATED: u32 = 1 << 30;
/// Bit of that word: the first fragment belongs to a connection. Without it, it was waited for in vain, or it is not
/// the director's.
const RELATED: u32 = 1 << 29;

/// Keeps the connection of a first fragment for the later ones. Its entry is the one in [`Work::number`].
#[inline(always)]
pub(super) fn remember<F: Network, T: Tables>(tables: T, work: &Work<F>, bits: u32) {
    if work.forward.datagram.part == Part::First {
        keep(tables, work, work.number | bits | RELATED);
    }
}

/// Has the later fragments of a packet that is the kernel's not wait for the first one, which this is.
#[inline(always)]
pub(super) fn disown<F: Network, T: Tables>(tables: T, work: &Work<F>) {
    let datagram = &work.forward.datagram;
    if datagram.part == Part::First && matches_filter(tables, &F::widen(datagram.destination)) {
        keep(tables, work, 0);
    }
}

/// The word lies where the ports of other fragments do.
#[inline(never)]
fn keep<F: Network, T: Tables>(tables: T, work: &Work<F>, word: u32) {
    let [a, b, c, d] = word.to_be_bytes();
    let ports = Ports {
        source: [a, b].into(),
        destination: [c, d].into(),
    };
    tables.remember(&Aligned(work.forward.datagram.fragment_key()).0, ports);
}

/// Sends a later fragment after its first one, or has it wait for that; everything else is the kernel's.
#[inline(never)]
pub(super) fn icmp_fragment<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    work.verdict = Verdict::pass(Reason::IcmpOther);
    follow(tables, work).unwrap_or(Stage::Ended)
}

#[inline(always)]
fn follow<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Option<Stage> {
    if work.forward.ethernet.is_for_group() {
        return None;
    }
    let Some(kept) = tables.recall(&Aligned(work.forward.datagram.fragment_key()).0) else {
        let to_virtual = matches_filter(tables, &F::widen(work.forward.datagram.destination));
        return to_virtual.then(|| work.end(Verdict::HOLD));
    };
    let word = u32::from_be_bytes(kept.to_bytes());
    if word & RELATED == 0 {
        return None;
    }
    let number = word & !(TO_CLIENT | FROM_TRANSLATED | RELATED);
    let slot = table::by_number::<F, T>(tables, number)?;
    let record = slot.set.record(slot.way);
    work.key = slot.set.key(slot.way);
    work.number = slot.number;
    work.way = slot.set.client(slot.way);
    work.forward.now = tables.now();
    let gone = work.key.kind != Kind::Request as u8
        || Protocol::from_number(work.key.protocol).is_none()
        || is_expired(&slot, work.forward.now);
    if gone || !table::unchanged(&slot) {
        return None;
    }
    work.forward.protocol = None;
    work.forward.signal = Signal::Nothing;
    work.forward.ports = work.key.ports;
    work.forward.hash = 0;
    tables.fence();
    // Another connection may have the entry by now: it is for the same address, unless translation hides that.
    let destination = work.forward.datagram.destination;
    if word & TO_CLIENT != 0 {
        if destination != work.key.source && !record.is_translated() {
            return None;
        }
        work.forward.rewrite = Rewrite {
            source: work.key.destination,
            destination: work.key.source,
            ports: work.key.ports.reversed(),
        };
        let (service, server) = (tables.service_of(&record), tables.server_of(&record));
        tables.count_out(service, server, work.forward.wire.traffic);
        return Some(Stage::ToClient);
    }
    if destination != work.key.destination {
        return None;
    }
    let method = Method::from_raw(record.method);
    work.forward.route = Route {
        reason: Reason::IcmpToServer,
        ..Route::new(tables.server_of(&record), method)
    };
    if word & FROM_TRANSLATED != 0 {
        work.forward.route.source = Source::Connection;
    }
    let (service, server) = (tables.service_of(&record), tables.server_of(&record));
    tables.count_in(service, server, work.forward.wire.traffic, false);
    Some(Stage::ToServer)
}
