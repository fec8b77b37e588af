//! Services whose scheduler remembers the servers of destinations: lblc and lblcr.

use std::net::IpAddr;

use lvs_api::model::{ServiceId, ServiceSettings};
use lvs_common::abi::Pick;
use lvs_common::family::{V4, V6};
use lvs_common::scheduler::fold;

use crate::scheduler::Scheduler;

/// Returns whether the scheduler does.
pub(super) fn remembers(settings: &ServiceSettings) -> bool {
    let scheduler = Scheduler::from_name(&settings.scheduler);
    scheduler.is_some_and(|it| matches!(it.pick(), Pick::Locality | Pick::LocalitySet))
}

/// The destination of all of a service's packets, as its scheduler knows it; `None`: there may be many.
pub(super) fn destination(id: &ServiceId) -> Option<u32> {
    match id {
        ServiceId::Address { address, .. } => Some(match address.ip() {
            IpAddr::V4(v4) => fold::<V4>(v4.octets()),
            IpAddr::V6(v6) => fold::<V6>(v6.octets()),
        }),
        ServiceId::Mark { .. } => None,
    }
}
