//! The virtual service of a packet (`ip_vs_service_find`).

use zerocopy::byteorder::network_endian::U16;

use super::mark::marked_service;
use crate::abi::{Config, Marked, Plan, ServiceKey};
use crate::aligned::Aligned;
use crate::connection::Key;
use crate::family::Family;
use crate::ftp::{CONTROL, DATA, FIRST_PORT};
use crate::network::Network;
use crate::scheduler::{self, Flow};
use crate::tables::Tables;
use crate::wire::protocol;

/// The flow of a key with this hash, as schedulers look at it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "any half will do")]
pub(super) fn flow<F: Family>(key: &Key<F>, hash: u64) -> Flow {
    Flow {
        source: scheduler::fold::<F>(key.source),
        destination: scheduler::fold::<F>(key.destination),
        port: key.ports.source.get(),
        hash: hash as u32,
    }
}

/// Index that no service has.
const NONE: u32 = Marked::NO_SERVICE;

/// Index of the service that a packet with this key is for, if it came by this interface: that of the mark it
/// carries, else its own port's, else FTP's of its address, else the one for every port. It has a plan.
#[inline(never)]
pub(super) fn service<F: Network, T: Tables>(tables: T, key: &Key<F>, interface: u32) -> u32 {
    let Some(config) = tables.config() else {
        return NONE;
    };
    if config.keyed_marks | config.mark_rules != 0 {
        let index = marked_service(tables, config, key, interface);
        let plan = tables.plan(index);
        if plan.is_some_and(|plan| plan.key.protocol == ServiceKey::MARK) {
            return index;
        }
    }
    address_service(tables, config, &mut wanted(key))
}

/// Index of the service of an address: its own port's, else FTP's of the address, else the one for every port. It has
/// a plan. The key is changed.
#[inline(always)]
pub(crate) fn address_service<T: Tables>(
    tables: T,
    config: &Config,
    wanted: &mut Aligned<ServiceKey>,
) -> u32 {
    if let Some(index) = tables.service(&wanted.0) {
        return if leads_to(tables, index, &wanted.0) {
            index
        } else {
            NONE
        };
    }
    let port = wanted.0.port.get();
    let may_be_data = port == DATA.get() || port >= FIRST_PORT;
    if config.ftp_services != 0 && may_be_data && wanted.0.protocol == protocol::TCP {
        wanted.0.port = CONTROL;
        if let Some(index) = tables.service(&wanted.0) {
            let plan = tables.plan(index).filter(|plan| plan.key == wanted.0);
            let takes_data = plan.is_some_and(|plan| plan.flags & Plan::FTP != 0);
            return if takes_data { index } else { NONE };
        }
    }
    wanted.0.port = U16::ZERO;
    match tables.service(&wanted.0) {
        Some(index) if leads_to(tables, index, &wanted.0) => index,
        _ => NONE,
    }
}

/// The plan of the service that a packet with this key is for, if neither marks nor FTP have to be thought of.
#[inline(always)]
pub(super) fn plain_service<'a, F: Network, T: Tables + 'a>(
    tables: T,
    config: &Config,
    key: &Key<F>,
) -> Option<&'a Plan> {
    if config.keyed_marks | config.mark_rules != 0 {
        return None;
    }
    let mut wanted = wanted(key);
    let index = if let Some(index) = tables.service(&wanted.0) {
        index
    } else {
        if config.ftp_services != 0 {
            return None;
        }
        wanted.0.port = U16::ZERO;
        tables.service(&wanted.0)?
    };
    tables.plan(index).filter(|plan| plan.key == wanted.0)
}

#[inline(always)]
fn wanted<F: Network>(key: &Key<F>) -> Aligned<ServiceKey> {
    Aligned(ServiceKey {
        address: F::widen(key.destination),
        port: key.ports.destination,
        protocol: key.protocol,
        family: F::NUMBER,
    })
}

/// The hash element may have been reused while it was read: the plan knows whose it is.
#[inline(always)]
fn leads_to<T: Tables>(tables: T, index: u32, key: &ServiceKey) -> bool {
    tables.plan(index).is_some_and(|plan| plan.key == *key)
}

/// Returns whether a service of FTP's port was found for a packet with this key that is for another port.
#[inline(always)]
pub(super) fn is_ftp_data<F: Family>(plan: &Plan, key: &Key<F>) -> bool {
    plan.flags & Plan::FTP != 0 && plan.key.port != key.ports.destination
}
