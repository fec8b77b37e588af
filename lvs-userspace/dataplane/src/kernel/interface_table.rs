//! The map of the interfaces.

use std::collections::BTreeMap;

use aya::maps::{HashMap, Map, MapData};
use lvs_common::abi;
use parking_lot::Mutex;

use super::error::KernelError;
use super::wire::Wire;

/// The interfaces, as the program finds them by index.
pub struct InterfaceTable(Mutex<Table>);

struct Table {
    map: HashMap<MapData, u32, Wire<abi::Interface>>,
    /// What is in the map.
    written: BTreeMap<u32, abi::Interface>,
}

impl InterfaceTable {
    pub(super) fn take(map: Map) -> Result<Self, KernelError> {
        let map: HashMap<_, u32, Wire<abi::Interface>> =
            HashMap::try_from(map).map_err(KernelError::map("cannot use", abi::INTERFACES))?;
        let found = map.iter().filter_map(Result::ok);
        let written = found.map(|(index, Wire(entry))| (index, entry)).collect();
        Ok(Self(Mutex::new(Table { map, written })))
    }

    /// Makes the map hold exactly these interfaces.
    pub fn write(&self, entries: &BTreeMap<u32, abi::Interface>) -> Result<(), KernelError> {
        let error = || KernelError::map("cannot write", abi::INTERFACES);
        let Table { map, written } = &mut *self.0.lock();
        for (&index, &entry) in entries {
            if written.get(&index) != Some(&entry) {
                map.insert(index, Wire(entry), 0).map_err(error())?;
                written.insert(index, entry);
            }
        }
        let gone: Vec<_> = written
            .keys()
            .filter(|index| !entries.contains_key(index))
            .copied()
            .collect();
        for index in gone {
            map.remove(&index).map_err(error())?;
            written.remove(&index);
        }
        Ok(())
    }
}
