//! The virtual service of a packet.

use crate::abi::{Plan, ServiceKey};
use crate::aligned::Aligned;
use crate::connection::Key;
use crate::family::Family;
use crate::network::Network;
use crate::scheduler::{self, Flow};
use crate::tables::Tables;

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
