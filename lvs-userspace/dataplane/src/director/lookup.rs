//! Services in the maps by their identity, for whoever only reads.

use lvs_api::model::ServiceId;

use super::keys;
use crate::kernel::Maps;

/// The service with this index; `None`: there is none.
pub fn service_id(maps: &Maps, index: u32) -> Option<ServiceId> {
    let plan = maps.active_plans.read(index).filter(|&plan| plan != 0)?;
    keys::service(&maps.plans.read(plan)?.key)
}

/// The index of a service; `None`: there is no such service.
pub fn service_index(maps: &Maps, id: &ServiceId) -> Option<u32> {
    (0..maps.active_plans.len()).find(|&index| service_id(maps, index).as_ref() == Some(id))
}
