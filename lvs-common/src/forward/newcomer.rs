//! A packet of no known connection: its service, and the server it is scheduled to.

use super::stateless::stray;
use super::{Aligned, Stage, Work};
use crate::abi::{Method, Plan, ServiceKey};
use crate::connection::table::Store;
use crate::connection::{Key, Protocol};
use crate::family::Family;
use crate::network::Network;
use crate::persistence;
use crate::probe;
use crate::schedule::{self, Flow};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// Picks the server of a new connection, if there is a service for it.
#[inline(never)]
pub(super) fn schedule<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    let (Some(plan), Some(protocol)) = (service(tables, &work.key), work.forward.protocol) else {
        work.verdict = Verdict::pass(Reason::NoService);
        return Stage::Reply;
    };
    if probe::returned(tables, &work.key) {
        return work.end(Verdict::drop(Reason::ProbeReturned));
    }
    if F::is_martian(&work.key.source) {
        return work.end(Verdict::drop(Reason::Martian));
    }
    // IPVS leaves connections from the FTP data port to the FTP helper.
    let ftp_data = protocol == Protocol::Tcp && work.key.ports.source.get() == 20;
    if !work.forward.signal.starts() || ftp_data {
        let flow = flow(&work.key, work.forward.hash);
        return stray(tables, work, plan, &flow);
    }
    work.alone = plan.flags & Plan::ONE_PACKET != 0 && protocol == Protocol::Udp;
    work.persistence = 0;
    if plan.persistence != 0 {
        work.persistence = plan.prefix.wrapping_add(1);
        persistence::ask(work, plan);
        return Stage::Persistent;
    }
    place(tables, work, plan)
}

/// Picks a server.
#[inline(always)]
fn place<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>, plan: &Plan) -> Stage {
    let flow = flow(&work.key, work.forward.hash);
    let Some((_, member)) = schedule::pick(tables, plan, &flow, &mut work.search) else {
        return Stage::Unreachable;
    };
    schedule::taken(tables, member);
    work.send_to(member.server, Method::from_raw(member.method));
    Stage::Picked
}

/// Picks the server of a persistent service's client that has no template.
#[inline(never)]
pub(super) fn place_stranger<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    let Some(plan) = service(tables, &work.key) else {
        return Stage::Reply;
    };
    match place(tables, work, plan) {
        Stage::Unreachable => Stage::Unreachable,
        _ => Stage::Newcomer,
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "any half will do")]
pub(super) fn flow<F: Family>(key: &Key<F>, hash: u64) -> Flow {
    Flow {
        source: schedule::fold::<F>(key.source),
        destination: schedule::fold::<F>(key.destination),
        port: key.ports.source.get(),
        hash: hash as u32,
    }
}

/// The plan of the service that a flow is for: its own port's, else the one for every port. Either may
/// be a firewall mark's, to which the keys of its rules lead.
#[inline(always)]
pub(super) fn service<'a, F: Network, T: Tables + 'a>(tables: T, key: &Key<F>) -> Option<&'a Plan> {
    let mut wanted = Aligned(ServiceKey {
        address: F::widen(key.destination),
        port: key.ports.destination,
        protocol: key.protocol,
        family: F::NUMBER,
    });
    let index = if let Some(index) = tables.service(&wanted.0) {
        index
    } else {
        wanted.0.port = zerocopy::byteorder::network_endian::U16::ZERO;
        tables.service(&wanted.0)?
    };
    // The hash element may have been reused while it was read: the plan knows whose it is. A mark's is
    // found by many keys: this one, if it still leads there.
    tables.plan(index).filter(|plan| {
        plan.key == wanted.0
            || plan.key.protocol == ServiceKey::MARK && tables.service(&wanted.0) == Some(index)
    })
}
