//! Addresses of this machine: Ethernet addresses, by which the program tells frames for others, and those of its
//! hosts, from which no packet of a client comes.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::mem::offset_of;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::Ordering;

use lvs_common::abi::{Config, Mac, OWN_ADDRESSES};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::LinkAddr;
use tracing::warn;

use crate::kernel::{Mapping, Maps};
use crate::service_path::is_probe_veth;

/// Publishes the addresses that the machine's interfaces have now to the program: also those of interfaces
/// that only lie upon the ones it runs on, as VRRP's do.
pub fn follow(maps: &Maps) {
    match addresses() {
        Ok(addresses) => {
            publish(&maps.config, &addresses.ethernet);
            if let Err(error) = maps.own_hosts.write(&addresses.hosts) {
                warn!("{error}");
            }
        }
        Err(error) => warn!("cannot list the machine's interfaces: {error}"),
    }
}

/// True if one of the machine's interfaces has this address.
pub fn is_own(address: Mac) -> bool {
    let number = Config::own_address(address);
    addresses().is_ok_and(|own| own.ethernet.contains(&number))
}

/// True if the machine has this IP address.
pub fn is_own_ip(address: IpAddr) -> bool {
    // Nearly all addresses are others': the kernel says so at once.
    if address.is_loopback() || UdpSocket::bind((address, 0)).is_err() {
        return address.is_loopback();
    }
    // Unless it lets sockets have any address (`ip_nonlocal_bind`).
    addresses().is_ok_and(|own| own.hosts.contains(&address))
}

/// The machine's IP addresses, asked for at the first question: for many of them.
#[derive(Debug, Default)]
pub(crate) struct OwnIps(OnceCell<BTreeSet<IpAddr>>);

impl OwnIps {
    /// True if the machine has this address.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let read = || addresses().unwrap_or_default().hosts;
        address.is_loopback() || self.0.get_or_init(read).contains(&address)
    }
}

/// The addresses of the machine's interfaces.
#[derive(Default)]
struct Addresses {
    ethernet: BTreeSet<u64>,
    hosts: BTreeSet<IpAddr>,
}

fn addresses() -> Result<Addresses, nix::Error> {
    let mut found = Addresses::default();
    for interface in getifaddrs()?.filter(|found| !is_probe_veth(&found.interface_name)) {
        let Some(address) = interface.address else {
            continue;
        };
        if let Some(mac) = address.as_link_addr().and_then(LinkAddr::addr) {
            if mac != Mac::default() {
                found.ethernet.insert(Config::own_address(mac));
            }
        } else if let Some(address) = address.as_sockaddr_in() {
            found.hosts.insert(address.ip().into());
        } else if let Some(address) = address.as_sockaddr_in6() {
            found.hosts.insert(address.ip().into());
        }
    }
    Ok(found)
}

/// At no moment is an address missing that stays: one that is gone is overwritten in place, by a new one or
/// by the last.
fn publish(config: &Mapping<Config>, addresses: &BTreeSet<u64>) {
    let Some(found) = config.read(0) else {
        return;
    };
    let count = found.own_count as usize;
    let mut own: Vec<u64> = found.own.into_iter().take(count).collect();
    if addresses.len() > OWN_ADDRESSES {
        if count != 0 {
            warn!(
                "more than {OWN_ADDRESSES} Ethernet addresses: frames for others are looked at, too"
            );
        }
        return store_count(config, 0);
    }
    let mut new = addresses
        .iter()
        .filter(|address| !own.contains(address))
        .copied()
        .collect::<Vec<_>>();
    let mut index = 0;
    while index < own.len() {
        if addresses.contains(&own[index]) {
            index += 1;
        } else if let Some(address) = new.pop() {
            own[index] = address;
            store(config, index, address);
        } else {
            own.swap_remove(index);
            if let Some(&address) = own.get(index) {
                store(config, index, address);
            }
        }
    }
    for address in new {
        store(config, own.len(), address);
        own.push(address);
    }
    if own.len() != count {
        store_count(config, own.len());
    }
}

fn store(config: &Mapping<Config>, index: usize, address: u64) {
    let offset = offset_of!(Config, own) + index * size_of::<u64>();
    if let Some(word) = config.double_word(0, offset) {
        word.store(address, Ordering::Release);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most 16")]
fn store_count(config: &Mapping<Config>, count: usize) {
    if let Some(word) = config.word(0, offset_of!(Config, own_count)) {
        word.store(count as u32, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(config: &Mapping<Config>) -> BTreeSet<u64> {
        let config = config.read(0).unwrap();
        config
            .own
            .into_iter()
            .take(config.own_count as usize)
            .collect()
    }

    #[test]
    fn an_address_is_own_however_it_is_asked() {
        let own = OwnIps::default();
        for (address, is_own) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("192.0.2.77", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(
                (own.contains(address), is_own_ip(address)),
                (is_own, is_own)
            );
        }
        for address in addresses().unwrap().hosts {
            assert!(own.contains(address), "{address}");
        }
    }

    #[test]
    fn addresses_come_and_go() {
        let config = Mapping::<Config>::zeroed(1);
        for addresses in [
            vec![1, 2, 3],
            vec![3],
            vec![3, 4, 5, 6],
            vec![],
            vec![6, 7, 8],
        ] {
            let addresses = BTreeSet::from_iter(addresses);
            publish(&config, &addresses);
            assert_eq!(known(&config), addresses);
        }
        let many: BTreeSet<u64> = (1..=16).collect();
        publish(&config, &many);
        assert_eq!(known(&config), many);
        publish(&config, &(1..=17).collect());
        assert_eq!(known(&config).len(), 0, "too many to tell apart");
        publish(&config, &BTreeSet::from([17]));
        assert_eq!(known(&config), BTreeSet::from([17]));
    }
}
