//! The map of the addresses of this host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aya::maps::{HashMap, Map, MapData};
use lvs_common::abi::{self, HostAddress};
use parking_lot::Mutex;

use super::address_bits::AddressBits;
use super::error::KernelError;
use super::wire::Wire;
use crate::address::{narrow, widen};

/// The addresses of this host, as the program finds them.
pub struct OwnHosts(Mutex<Table>);

struct Table {
    map: HashMap<MapData, Wire<HostAddress>, u32>,
    /// Lets through every address in the map.
    filter: AddressBits,
    /// The content of the map.
    written: BTreeSet<IpAddr>,
}

impl OwnHosts {
    pub(super) fn new(map: Map, filter: AddressBits) -> Result<Self, KernelError> {
        let map: HashMap<_, Wire<HostAddress>, u32> =
            HashMap::try_from(map).map_err(KernelError::map("cannot use", abi::OWN_HOSTS))?;
        let found = map.keys().filter_map(Result::ok);
        let written = found
            .map(|Wire(host)| narrow(&host.address, if host.family == 4 { 4 } else { 6 }))
            .collect();
        let table = Table {
            map,
            filter,
            written,
        };
        // The daemon that wrote the map may not have known of the filter.
        table.write_filter();
        Ok(Self(Mutex::new(table)))
    }

    /// Makes the map hold exactly these addresses.
    pub fn write(&self, addresses: &BTreeSet<IpAddr>) -> Result<(), KernelError> {
        let error = || KernelError::map("cannot write", abi::OWN_HOSTS);
        let table = &mut *self.0.lock();
        for &address in addresses.difference(&table.written.clone()) {
            table.filter.add(&widen(address));
            table.map.insert(key(address), 0, 0).map_err(error())?;
            table.written.insert(address);
        }
        let gone = &table.written.clone() - addresses;
        for address in &gone {
            table.map.remove(&key(*address)).map_err(error())?;
            table.written.remove(address);
        }
        if !gone.is_empty() {
            table.write_filter();
        }
        Ok(())
    }
}

impl Table {
    /// Has the filter let through the addresses in the map, and no others.
    fn write_filter(&self) {
        let addresses: Vec<_> = self.written.iter().copied().map(widen).collect();
        self.filter.replace(&addresses);
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
