//! The map of the devices that lie above interfaces.

use std::collections::BTreeMap;

use aya::maps::{HashMap, Map, MapData};
use lvs_common::abi::{self, UpperKey};
use parking_lot::Mutex;

use super::error::KernelError;
use super::wire::Wire;

/// The devices that the kernel has frames' packets come by, where these are not the interfaces of the frames.
pub struct UpperDevices(Mutex<Table>);

struct Table {
    map: HashMap<MapData, Wire<UpperKey>, u32>,
    /// The content of the map.
    written: BTreeMap<UpperKey, u32>,
}

impl UpperDevices {
    pub(super) fn new(map: Map) -> Result<Self, KernelError> {
        let map: HashMap<_, Wire<UpperKey>, u32> =
            HashMap::try_from(map).map_err(KernelError::map("cannot use", abi::UPPER_DEVICES))?;
        let found = map.iter().filter_map(Result::ok);
        let written = found.map(|(Wire(key), device)| (key, device)).collect();
        Ok(Self(Mutex::new(Table { map, written })))
    }

    /// Makes the map hold exactly these devices. Returns whether it did not before.
    pub fn write(&self, devices: &BTreeMap<UpperKey, u32>) -> Result<bool, KernelError> {
        let error = || KernelError::map("cannot write", abi::UPPER_DEVICES);
        let Table { map, written } = &mut *self.0.lock();
        let mut changed = false;
        let gone: Vec<_> = written
            .keys()
            .filter(|key| !devices.contains_key(key))
            .copied()
            .collect();
        for key in gone {
            map.remove(&Wire(key)).map_err(error())?;
            written.remove(&key);
            changed = true;
        }
        for (&key, &device) in devices {
            if written.get(&key) != Some(&device) {
                map.insert(Wire(key), device, 0).map_err(error())?;
                written.insert(key, device);
                changed = true;
            }
        }
        Ok(changed)
    }
}
