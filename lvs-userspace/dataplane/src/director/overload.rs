//! Overloaded servers: the program marks one at its upper threshold, the director clears the mark. Where thresholds
//! change, the director marks and clears, as the kernel does (`ip_vs_dest_update_overload`).

use lvs_common::abi::Load;

use super::services::Services;
use crate::kernel::ServerLoads;

/// Marks a server whose lower and upper threshold are new, or clears its mark.
pub(super) fn follow(loads: &ServerLoads, server: u32, thresholds: (u32, u32)) {
    if let Some(load) = loads.read(server) {
        let overloaded = is_overloaded(&load, thresholds);
        if overloaded != (load.overloaded != 0) {
            loads.mark_overloaded(server, overloaded);
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
        if load.overloaded != 0 && !is_overloaded(&load, (settings.lower, settings.upper)) {
            loads.mark_overloaded(member.server, false);
        }
    }
}

/// Returns whether a server is, by its connections and whether it was: one that was is until it holds less than the
/// lower threshold, or than three quarters of the upper one.
fn is_overloaded(load: &Load, (lower, upper): (u32, u32)) -> bool {
    let held = u64::from(load.active()) + u64::from(load.inactive());
    let lower = match lower {
        0 => upper - upper / 4,
        lower => lower,
    };
    upper != 0 && (held >= u64::from(upper) || load.overloaded != 0 && held >= u64::from(lower))
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    #[test]
    fn a_server_stays_overloaded_between_its_thresholds() {
        let load = |inactive: u64, overloaded| Load {
            counts: inactive << 32,
            overloaded,
            ..Load::new_zeroed()
        };
        assert_eq!(load(18, 0).inactive() + load(18, 0).active(), 18);
        assert!(is_overloaded(&load(18, 0), (0, 18)));
        assert!(!is_overloaded(&load(18, 1), (0, 0)));
        assert!(is_overloaded(&load(18, 1), (13, 23)));
        assert!(!is_overloaded(&load(18, 0), (13, 23)));
        assert!(!is_overloaded(&load(12, 1), (13, 23)));
        assert!(is_overloaded(&load(6, 1), (0, 7)));
        assert!(!is_overloaded(&load(5, 1), (0, 7)));
    }
}
