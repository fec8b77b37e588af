//! The first stage: parse a packet and find its connection.

use super::addr_filter::matches_filter;
use super::connection_reuse::syn_on_connection;
use super::context::Wire;
use super::existing::forward_existing;
use super::filter;
use super::find::find_at;
use super::source_check;
use super::stage::Stage;
use super::state_change::StateChange;
use super::transport::transport;
use super::work::Work;
use crate::abi::Method;
use crate::connection::table::{Place, Store, Ways};
use crate::connection::{Direction, Kind, Record, Signal, tcp};
use crate::network::{Network, Part};
use crate::packet::Packet;
use crate::scheduler::NO_SERVER;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// Parses a packet and finds its connection.
#[inline(never)]
pub(super) fn classify<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &P,
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    work.established = false;
    work.change = StateChange::NONE;
    work.opened = 0;
    work.says = 0;
    work.asymmetric = 0;
    work.forward.interface = packet.interface();
    let start = work.forward.ethernet.payload;
    let parsed = F::parse(packet, tables, start, &mut work.forward.datagram);
    if let Err(reason) = parsed {
        return work.end(Verdict::drop(reason));
    }
    tables.fence();
    let datagram = &work.forward.datagram;
    work.forward.wire = Wire::one(datagram.length());
    if datagram.protocol == F::ICMP {
        return if datagram.part == Part::Later {
            Stage::IcmpFragment
        } else {
            Stage::Icmp
        };
    }
    let to_virtual = matches_filter(tables, &F::widen(datagram.destination));
    if !to_virtual && !matches_filter(tables, &F::widen(datagram.source)) {
        return work.end(Verdict::pass(Reason::NotOurs));
    }
    if work.forward.ethernet.is_for_group() {
        return work.end(Verdict::pass(Reason::GroupFrame));
    }
    let protocol = match transport(packet, tables, &mut work.forward) {
        Ok(protocol) => protocol,
        Err(verdict) => return work.end(verdict),
    };
    work.forward.protocol = Some(protocol);
    work.forward.now = tables.now();
    if !to_virtual {
        work.verdict = Verdict::pass(Reason::NoConnection);
        return Stage::Reply;
    }
    work.key = work.forward.key(Kind::Request);
    work.forward.hash = work.key.hash(tables);
    tables.fence();
    let place = Place::of(work.forward.hash, Store::<F>::sets(tables));
    let Some(connection) = find_at(tables, &work.key, place, work.forward.now) else {
        if is_damaged(packet, tables, work) {
            return Stage::Ended;
        }
        return work.schedule(NO_SERVER);
    };
    work.before = connection.slot.tag.state();
    let syn = work.forward.signal == Signal::Tcp(tcp::Event::Syn);
    if syn && is_damaged(packet, tables, work) {
        return Stage::Ended;
    }
    let client = connection.slot.set.client(connection.slot.way);
    if source_check::refuses_change(packet.routes(), tables, work, &client) {
        return Stage::Ended;
    }
    let method = connection.record.method;
    let vlans = work.forward.ethernet.vlans;
    if source_check::came_elsewhere(&client, work.forward.interface, vlans)
        && method & Record::ASYMMETRIC == 0
        && source_check::ends(
            work.forward.signal,
            protocol,
            Direction::from_client(Method::from_raw(method)),
            connection.slot.tag.state(),
        )
    {
        source_check::distrust_end(packet.routes(), tables, work, &client);
    }
    if method & Record::PACED != 0 {
        let service = tables.service_of(&connection.record);
        if filter::refuses_packet(tables, work, service) {
            return Stage::Ended;
        }
    }
    if syn && let Some(stage) = syn_on_connection(tables, work, &connection) {
        return stage;
    }
    forward_existing(tables, work, protocol, &connection)
}

/// Returns whether the header of a packet that begins something is not as it was sent, or the kernel would refuse it;
/// then it is dropped. One that goes on with a connection does so by bits that the checksum covers, and whoever it is
/// sent to verifies it.
#[inline(never)]
fn is_damaged<F: Network, P: Packet, T: Tables>(packet: &P, tables: T, work: &mut Work<F>) -> bool {
    let datagram = &work.forward.datagram;
    let reason = if !F::has_intact_header(packet, tables, datagram) {
        Reason::BadChecksum
    } else if !F::has_sound_options(packet, tables, datagram) {
        Reason::BadOptions
    } else {
        return false;
    };
    work.verdict = Verdict::drop(reason);
    true
}
