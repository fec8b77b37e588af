//! The kernel's settings about the sources of packets (`rp_filter`, `accept_local`, `route_localnet`): the
//! program refuses what the kernel would. Also the one setting that the program itself needs.

use std::collections::BTreeMap;
use std::fs;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use lvs_common::abi::{Config, Interface};
use nix::net::if_::if_nametoindex;
use tracing::{info, warn};

use crate::kernel::Maps;

/// The kernel's settings of IPv4 interfaces.
const SETTINGS: &str = "/proc/sys/net/ipv4/conf";

/// Publishes the settings that the interfaces have now to the program.
pub fn follow(maps: &Maps) {
    let all = read(Path::new(SETTINGS));
    match maps.interfaces.write_checks(all) {
        Ok(()) => publish_flags(maps),
        Err(error) => warn!("{error}"),
    }
}

/// Publishes which bits any interface has, and which checks all have.
pub fn publish_flags(maps: &Maps) {
    let (any, common) = (maps.interfaces.flags(), maps.interfaces.common_checks());
    let store = |offset, flags| {
        if let Some(word) = maps.config.word(0, offset) {
            word.store(flags, Ordering::Release);
        }
    };
    // No interface has all bits: meanwhile each is looked for.
    store(offset_of!(Config, common_checks), u32::MAX);
    store(offset_of!(Config, interface_flags), any);
    store(offset_of!(Config, common_checks), common);
}

/// The bits of all interfaces.
fn read(folder: &Path) -> BTreeMap<u32, u32> {
    let Ok(entries) = fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    let all = Settings::read(&folder.join("all"));
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter_map(|name| {
            let index = if_nametoindex(name.as_str()).ok()?;
            let bits = Settings::read(&folder.join(&name)).with(all).bits();
            (bits != 0).then_some((index, bits))
        })
        .collect()
}

/// The settings of an interface, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Settings {
    rp_filter: u8,
    accept_local: u8,
    route_localnet: u8,
}

impl Settings {
    fn read(folder: &Path) -> Self {
        let read = |name| {
            let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
            text.trim().parse().unwrap_or(0)
        };
        Self {
            rp_filter: read("rp_filter"),
            accept_local: read("accept_local"),
            route_localnet: read("route_localnet"),
        }
    }

    /// Those in force, by those of all interfaces: each the larger of the two (ip-sysctl).
    fn with(self, all: Self) -> Self {
        Self {
            rp_filter: self.rp_filter.max(all.rp_filter),
            accept_local: self.accept_local.max(all.accept_local),
            route_localnet: self.route_localnet.max(all.route_localnet),
        }
    }

    fn bits(self) -> u32 {
        let path = match self.rp_filter {
            0 => 0,
            1 => Interface::RP_STRICT,
            _ => Interface::RP_LOOSE,
        };
        let local = u32::from(self.accept_local != 0) * Interface::ACCEPT_LOCAL;
        let loopback = u32::from(self.route_localnet != 0) * Interface::ROUTE_LOCALNET;
        path | local | loopback
    }
}

/// Lets packets that come by the loopback interface be forwarded, which are none: the kernel tells the way to a
/// client only as that of a packet which it would forward. Where forwarding is on anyway nothing changes by it.
pub fn let_loopback_forward() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    for family in ["ipv4", "ipv6"] {
        let setting = PathBuf::from(format!("/proc/sys/net/{family}/conf/lo/forwarding"));
        let Ok(found) = fs::read_to_string(&setting) else {
            // There is no IPv6.
            continue;
        };
        if found.trim() != "0" {
            continue;
        }
        match fs::write(&setting, "1") {
            Ok(()) => info!(
                "net.{family}.conf.lo.forwarding is set: the ways to clients of NAT are asked for by it"
            ),
            Err(error) if !TOLD.swap(true, Ordering::Relaxed) => warn!(
                "cannot set net.{family}.conf.lo.forwarding ({error}): unless net.ipv4.ip_forward (IPv6: \
                 net.ipv6.conf.all.forwarding) is on, replies of real servers behind NAT are dropped"
            ),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_settings_the_larger_is_in_force() {
        let of = |rp_filter, accept_local, route_localnet| Settings {
            rp_filter,
            accept_local,
            route_localnet,
        };
        let all = of(1, 0, 0);
        for (own, bits) in [
            (of(0, 0, 0), Interface::RP_STRICT),
            (of(1, 1, 0), Interface::RP_STRICT | Interface::ACCEPT_LOCAL),
            (of(2, 0, 1), Interface::RP_LOOSE | Interface::ROUTE_LOCALNET),
        ] {
            assert_eq!(own.with(all).bits(), bits);
        }
        assert_eq!(of(0, 0, 0).with(of(0, 0, 0)).bits(), 0);
    }

    #[test]
    fn settings_are_read_as_the_kernel_shows_them() {
        let folder = std::env::temp_dir().join(format!("settings-{}", std::process::id()));
        for (interface, value) in [("all", "0\n"), ("lo", "2\n")] {
            let folder = folder.join(interface);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("rp_filter"), value).unwrap();
        }
        let found = read(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, BTreeMap::from([(1, Interface::RP_LOOSE)]));
    }
}
