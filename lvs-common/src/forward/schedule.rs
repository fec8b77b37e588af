//! A packet of no known connection: its service, and the server it is scheduled to.

use super::filter;
use super::ftp;
use super::persistence;
use super::service::{flow, is_ftp_data, service};
use super::source_check;
use super::stage::Stage;
use super::stateless::no_connection;
use super::work::Work;
use crate::abi::{Config, Filter, Method, Plan, ServiceKey};
use crate::connection::table::Store;
use crate::connection::{Protocol, Record, Signal};
use crate::ftp::DATA;
use crate::network::Network;
use crate::probe;
use crate::routes::Routes;
use crate::scheduler::{self, NO_SERVER};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// [`Work::opens`] of a packet that is to begin a connection, and of any other.
#[expect(clippy::cast_possible_truncation, reason = "bits 1 to 3")]
const OPENS: [u8; 2] = [Filter::LIMITS as u8, Filter::SENDING as u8];

/// Picks the server of a new connection, if there is a service for it.
#[inline(never)]
pub(super) fn schedule<F: Network, R: Routes, T: Tables + Store<F>>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    work.data_server = NO_SERVER;
    work.service = service(tables, &work.key, work.forward.interface);
    // A service of exactly this port, or of its mark, is what it is for.
    let exact = tables.plan(work.service).is_some_and(|plan| {
        plan.key.protocol == ServiceKey::MARK || plan.key.port == work.key.ports.destination
    });
    if !exact {
        work.data_server = ftp::announced(tables, work);
    }
    let (Some(plan), Some(protocol)) = (tables.plan(work.service), work.forward.protocol) else {
        work.verdict = Verdict::pass(Reason::NoService);
        return Stage::Reply;
    };
    if probe::returned(tables, &work.key) {
        return work.end(Verdict::drop(Reason::ProbeReturned));
    }
    if source_check::refuses(routes, tables, work) {
        return Stage::Ended;
    }
    // IPVS leaves connections from the FTP data port to the FTP helper.
    let ftp_data = protocol == Protocol::Tcp && work.key.ports.source == DATA;
    let signal = work.forward.signal;
    let starts = signal.starts() || starts_late(tables, signal, protocol);
    let [begins, goes_on] = OPENS;
    work.opens = if starts && !ftp_data { begins } else { goes_on };
    // From here on a verifier knows it no more than what kind of packet it is.
    tables.fence();
    work.limits = 0;
    if plan.filter != 0 && filter::refuses(tables, work, plan.filter) {
        return Stage::Ended;
    }
    if work.opens != begins {
        let flow = flow(&work.key, work.forward.hash);
        return no_connection(tables, work, plan, &flow);
    }
    if work.data_server != NO_SERVER {
        work.one_packet = false;
        work.persistence = 0;
        return ftp::open(tables, work);
    }
    work.one_packet = plan.flags & Plan::ONE_PACKET != 0 && protocol == Protocol::Udp;
    work.persistence = 0;
    if plan.persistence != 0 {
        if plan.is_by_call_id() {
            work.persistence = Record::BY_CALL_ID;
            return Stage::CallId;
        }
        work.persistence = plan.prefix.wrapping_add(1);
        persistence::prepare_key(work, plan);
        return Stage::Persistent;
    }
    pick(tables, work, plan)
}

/// Returns whether a packet that begins no connection does so by the settings.
#[inline(never)]
fn starts_late<T: Tables>(tables: T, signal: Signal, protocol: Protocol) -> bool {
    let bit = match protocol {
        Protocol::Tcp => Config::SLOPPY_TCP,
        Protocol::Sctp => Config::SLOPPY_SCTP,
        Protocol::Udp => 0,
    };
    let options = tables.config().map_or(0, |config| config.options);
    options & bit != 0 && !signal.is_abortive()
}

/// Picks a server.
#[inline(always)]
fn pick<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>, plan: &Plan) -> Stage {
    let flow = flow(&work.key, work.forward.hash);
    let (search, locality) = (&mut work.search, &mut work.locality);
    let Some((_, member)) = scheduler::pick(tables, plan, &flow, search, locality) else {
        // `ip_vs_leave`: it may be for another server on the director, it was only perhaps FTP's.
        if is_ftp_data(plan, &work.key) {
            return work.end(Verdict::pass(Reason::NoService));
        }
        return Stage::NoServer;
    };
    scheduler::note_threshold(tables, member);
    work.send_to(member.server, Method::from_raw(member.method));
    Stage::Insert
}

/// Picks the server of a persistent service's client that has no template.
#[inline(never)]
pub(super) fn no_template<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    let Some(plan) = tables.plan(work.service) else {
        return Stage::NoServer;
    };
    match pick(tables, work, plan) {
        Stage::Insert => Stage::NewTemplate,
        none => none,
    }
}
