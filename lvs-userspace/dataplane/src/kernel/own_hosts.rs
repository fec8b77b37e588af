//! The map of the addresses of this host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aya::maps::{HashMap, Map, MapData};
use lvs_common::abi::{self, HostAddress};
use parking_lot::Mutex;

use super::error::KernelError;
use super::wire::Wire;
use crate::address::{narrow, widen};

/// The addresses of this host, as the program finds them.
pub struct OwnHosts(Mutex<Table>);

struct Table {
    map: HashMap<MapData, Wire<HostAddress>, u32>,
    /// What is in the map.
    written: BTreeSet<IpAddr>,
}

impl OwnHosts {
    pub(super) fn take(map: Map) -> Result<Self, KernelError> {
        let map: HashMap<_, Wire<HostAddress>, u32> =
            HashMap::try_from(map).map_err(KernelError::map("cannot use", abi::OWN_HOSTS))?;
        let found = map.keys().filter_map(Result::ok);
        let written = found
            .map(|Wire(host)| narrow(&host.address, if host.family == 4 { 4 } else { 6 }))
            .collect();
        Ok(Self(Mutex::new(Table { map, written })))
    }

    /// Makes the map hold exactly these addresses.
    pub fn write(&self, addresses: &BTreeSet<IpAddr>) -> Result<(), KernelError> {
        let error = || KernelError::map("cannot write", abi::OWN_HOSTS);
        let Table { map, written } = &mut *self.0.lock();
        for &address in addresses.difference(&written.clone()) {
            map.insert(key(address), 0, 0).map_err(error())?;
            written.insert(address);
        }
        for address in &written.clone() - addresses {
            map.remove(&key(address)).map_err(error())?;
            written.remove(&address);
        }
        Ok(())
    }
}

fn key(address: IpAddr) -> Wire<HostAddress> {
    let (address, family) = (widen(address), if address.is_ipv4() { 4 } else { 6 });
    Wire(HostAddress {
        address,
        family,
        interface: 0,
    })
}
