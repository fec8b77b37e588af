//! The map of the interfaces.

use std::collections::BTreeMap;

use aya::maps::{HashMap, Map, MapData};
use lvs_common::abi::{self, Interface, LOOPBACK};
use parking_lot::Mutex;

use super::error::KernelError;
use super::wire::Wire;

/// The interfaces, as the program finds them by index.
pub struct InterfaceTable(Mutex<Table>);

struct Table {
    map: HashMap<MapData, u32, Wire<Interface>>,
    /// The content of the map.
    written: BTreeMap<u32, Interface>,
    /// The interfaces without the bits of the checks and the groups.
    links: BTreeMap<u32, Interface>,
    /// The bits of the checks ([`Interface::SOURCE_CHECKS`]).
    checks: BTreeMap<u32, u32>,
    /// Their groups ([`Interface::equal_cost`]).
    equal_cost: BTreeMap<u32, u32>,
}

impl InterfaceTable {
    pub(super) fn new(map: Map) -> Result<Self, KernelError> {
        let map: HashMap<_, u32, Wire<Interface>> =
            HashMap::try_from(map).map_err(KernelError::map("cannot use", abi::INTERFACES))?;
        let found = map.iter().filter_map(Result::ok);
        let written: BTreeMap<_, _> = found.map(|(index, Wire(entry))| (index, entry)).collect();
        let checks = |entry: &Interface| entry.flags & Interface::SOURCE_CHECKS;
        Ok(Self(Mutex::new(Table {
            map,
            links: written.clone(),
            checks: written
                .iter()
                .map(|(&index, entry)| (index, checks(entry)))
                .collect(),
            equal_cost: written
                .iter()
                .map(|(&index, entry)| (index, entry.equal_cost))
                .collect(),
            written,
        })))
    }

    /// Makes the map hold exactly these interfaces. Returns whether it did not before.
    pub fn write(&self, entries: &BTreeMap<u32, Interface>) -> Result<bool, KernelError> {
        let table = &mut *self.0.lock();
        let changed = table.links != *entries;
        table.links.clone_from(entries);
        table.publish().map(|()| changed)
    }

    /// Sets the bits that tell which sources are refused, of each interface that has any.
    pub fn write_checks(&self, checks: BTreeMap<u32, u32>) -> Result<(), KernelError> {
        let table = &mut *self.0.lock();
        table.checks = checks;
        table.publish()
    }

    /// Sets the group of each interface that is in one ([`Interface::equal_cost`]).
    pub fn write_equal_cost(&self, groups: BTreeMap<u32, u32>) -> Result<(), KernelError> {
        let table = &mut *self.0.lock();
        table.equal_cost = groups;
        table.publish()
    }

    /// The bits that any interface has.
    pub fn flags(&self) -> u32 {
        let table = &*self.0.lock();
        let entries = table.written.values();
        entries.fold(0, |all, entry| all | entry.flags)
    }

    /// The bits of the checks that every interface has, but for the loopback interface, by which no client comes.
    pub fn common_checks(&self) -> u32 {
        let table = &*self.0.lock();
        let entries = table.written.iter();
        let others = entries.filter(|(index, _)| **index != LOOPBACK);
        let common = others
            .map(|(_, entry)| entry.flags)
            .reduce(|all, flags| all & flags);
        common.unwrap_or(0) & Interface::SOURCE_CHECKS
    }
}

impl Table {
    fn publish(&mut self) -> Result<(), KernelError> {
        let error = || KernelError::map("cannot write", abi::INTERFACES);
        let Self {
            map,
            written,
            links,
            checks,
            equal_cost,
        } = self;
        for (&index, link) in &*links {
            let bits = checks.get(&index).copied().unwrap_or(0);
            let entry = Interface {
                flags: link.flags & !Interface::SOURCE_CHECKS | bits,
                equal_cost: equal_cost.get(&index).copied().unwrap_or(0),
                ..*link
            };
            if written.get(&index) != Some(&entry) {
                map.insert(index, Wire(entry), 0).map_err(error())?;
                written.insert(index, entry);
            }
        }
        let gone: Vec<_> = written
            .keys()
            .filter(|index| !links.contains_key(index))
            .copied()
            .collect();
        for index in gone {
            map.remove(&index).map_err(error())?;
            written.remove(&index);
        }
        Ok(())
    }
}
