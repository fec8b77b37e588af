//! Overloaded servers: the program marks one at its upper threshold, the director clears the mark.

use super::services::{Service, Services};
use super::wanted::Wanted;
use crate::kernel::ServerLoads;

/// Clears the marks of servers whose upper thresholds are raised or removed: such a server is not overloaded
/// until found so again.
pub(super) fn forget(loads: &ServerLoads, service: &Service, next: &Wanted) {
    for (id, before, member) in service.servers() {
        let after = next.servers.iter().find(|(next, _)| next == id);
        if after.is_some_and(|(_, after)| after.upper == 0 || after.upper > before.upper) {
            clear(loads, member.server);
        }
    }
}

/// Clears the marks of servers that hold few enough connections to take new ones again.
pub(super) fn expire(loads: &ServerLoads, services: &Services) {
    let servers = services
        .configured()
        .flat_map(|(_, service)| service.servers());
    for (_, settings, member) in servers.filter(|(_, settings, _)| settings.upper != 0) {
        let Some(load) = loads.read(member.server) else {
            continue;
        };
        let held = u64::from(load.active()) + u64::from(load.inactive());
        let few = match settings.lower {
            0 => held * 4 < u64::from(settings.upper) * 3,
            lower => held < u64::from(lower),
        };
        if few && load.overloaded != 0 {
            clear(loads, member.server);
        }
    }
}

fn clear(loads: &ServerLoads, server: u32) {
    loads.clear_overloaded(server);
}
