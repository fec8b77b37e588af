//! The source pools in force: the addresses and ports that real servers behind full NAT see. Servers that are to have
//! the same share one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::snat::Snat;
use lvs_common::abi::{FIRST_PORT, SourcePool};
use nix::ifaddrs::getifaddrs;
use zerocopy::FromZeros as _;

use super::allocator::{Allocator, MapKind};
use super::own_networks::ip;
use crate::address::{narrow, widen};
use crate::kernel::Maps;

/// The pools, by what they hold.
pub(super) struct SourcePools {
    maps: Arc<Maps>,
    numbers: HashMap<(Snat, bool), u32>,
}

impl SourcePools {
    pub(super) fn new(maps: Arc<Maps>) -> Self {
        Self {
            maps,
            numbers: HashMap::new(),
        }
    }

    /// Number of the pool for real servers of a family; 0 for none.
    pub(super) fn number(
        &mut self,
        snat: Option<Snat>,
        ipv4: bool,
        allocator: &mut Allocator,
    ) -> Result<u32, Refusal> {
        let Some(snat) = snat else {
            return Ok(0);
        };
        if let Some(&number) = self.numbers.get(&(snat, ipv4)) {
            return Ok(number);
        }
        let number = allocator.allocate(MapKind::SourcePools, 1)?;
        self.maps.source_pools.write(number, pool(snat));
        self.numbers.insert((snat, ipv4), number);
        Ok(number)
    }

    /// Takes over the pool that a server of a family refers to; `None`: it has none.
    pub(super) fn adopt(
        &mut self,
        number: u32,
        ipv4: bool,
        allocator: &mut Allocator,
    ) -> Option<Snat> {
        let pool = self
            .maps
            .source_pools
            .read(number)
            .filter(|_| number != 0)?;
        let snat = settings(&pool, ipv4)?;
        if allocator.reserve(MapKind::SourcePools, number, 1) {
            self.numbers.insert((snat, ipv4), number);
        }
        Some(snat)
    }

    /// Retires pools that no server refers to.
    pub(super) fn retire_unused(&mut self, used: &HashSet<u32>, allocator: &mut Allocator) {
        self.numbers.retain(|_, number| {
            let keep = used.contains(number);
            if !keep {
                allocator.retire(MapKind::SourcePools, *number, 1);
            }
            keep
        });
    }

    /// True if there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// A pool as the program needs it.
fn pool(snat: Snat) -> SourcePool {
    let (first_port, last_port) = snat.ports.unwrap_or_else(free_ports);
    let set = |bit, on| if on { bit } else { 0 };
    SourcePool {
        first: snat.addresses.map_or([0; 16], |(first, _)| widen(first)),
        addresses: snat.address_count(),
        first_port,
        last_port,
        flags: set(SourcePool::ROUTE, snat.addresses.is_none())
            | set(SourcePool::ALL_PORTS, snat.ports.is_none()),
        ..SourcePool::new_zeroed()
    }
}

/// The operator's setting of a pool; `None`: no daemon writes such a pool.
fn settings(pool: &SourcePool, ipv4: bool) -> Option<Snat> {
    let has = |bit| pool.flags & bit != 0;
    let addresses = if has(SourcePool::ROUTE) {
        None
    } else {
        let first = narrow(&pool.first, if ipv4 { 4 } else { 6 });
        Some((first, above(first, pool.addresses.checked_sub(1)?)))
    };
    Some(Snat {
        addresses,
        ports: (!has(SourcePool::ALL_PORTS)).then_some((pool.first_port, pool.last_port)),
    })
}

fn above(address: IpAddr, by: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(v4.to_bits().wrapping_add(by).into()),
        IpAddr::V6(v6) => IpAddr::V6(v6.to_bits().wrapping_add(by.into()).into()),
    }
}

/// The ports that sockets of the director do not get by themselves: of those below and those above the kernel's
/// range, whichever are more.
fn free_ports() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    around(&text.unwrap_or_default()).unwrap_or((FIRST_PORT, 32_767))
}

/// The larger range around one that is written as two numbers; `None`: there is none.
fn around(local: &str) -> Option<(u16, u16)> {
    let mut words = local.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (words.next()?.ok()?, words.next()?.ok()?);
    let below = first.saturating_sub(FIRST_PORT);
    let above = u16::MAX - last;
    if below == 0 && above == 0 {
        // All ports are the kernel's: a socket's may be among them.
        return Some((FIRST_PORT, u16::MAX));
    }
    Some(if below >= above {
        (FIRST_PORT, first - 1)
    } else {
        (last + 1, u16::MAX)
    })
}

/// Addresses of this machine at the moment.
fn own_addresses() -> BTreeSet<IpAddr> {
    let Ok(interfaces) = getifaddrs() else {
        return BTreeSet::new();
    };
    let addresses = interfaces.filter_map(|interface| interface.address);
    addresses.filter_map(|address| ip(&address)).collect()
}

/// Addresses of these that this machine lacks at the moment: replies to them would not come back.
pub(super) fn foreign(snat: impl IntoIterator<Item = Snat>) -> BTreeSet<IpAddr> {
    let named: BTreeSet<IpAddr> = snat.into_iter().flat_map(Snat::all_addresses).collect();
    if named.is_empty() {
        return named;
    }
    let own = own_addresses();
    named.difference(&own).copied().collect()
}

/// Refuses source addresses that are not this machine's.
pub(super) fn check(snat: Snat) -> Result<(), Refusal> {
    let foreign = foreign([snat]);
    let Some(address) = foreign.first() else {
        return Ok(());
    };
    let message = format!(
        "{address} is not an address of this director, so replies to it would not come back: \
         a source address has to be on one of its interfaces"
    );
    Err(Refusal::new(RefusalKind::NotSupported, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_the_kernel_are_left_to_its_sockets() {
        assert_eq!(around("32768\t60999\n"), Some((1024, 32_767)));
        assert_eq!(around("1024 20000"), Some((20_001, 65_535)));
        assert_eq!(around("1024 65535"), Some((1024, 65_535)));
        assert_eq!(around("10000 65535"), Some((1024, 9_999)));
        assert_eq!(around(""), None);
    }

    #[test]
    fn a_pool_says_what_the_operator_said() {
        for (text, ipv4) in [
            ("auto", true),
            ("auto:2000-2999", false),
            ("10.0.0.1-10.0.0.4", true),
            ("10.0.0.1:2000-2999", true),
            ("[fd00::1-fd00::4]:2000-2999", false),
            ("fd00::1", false),
        ] {
            let snat: Snat = text.parse().unwrap();
            let pool = pool(snat);
            assert!(pool.addresses > 0 && 0 < pool.first_port && pool.first_port <= pool.last_port);
            assert_eq!(settings(&pool, ipv4), Some(snat), "{text}");
        }
    }

    #[test]
    fn only_own_addresses_are_accepted() {
        assert_eq!(check("127.0.0.1".parse().unwrap()), Ok(()));
        assert_eq!(check("auto".parse().unwrap()), Ok(()));
        let refused = check("192.0.2.77".parse().unwrap()).unwrap_err();
        assert!(
            refused.message.contains("192.0.2.77 is not an address"),
            "{}",
            refused.message
        );
    }
}
