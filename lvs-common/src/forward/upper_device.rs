//! The device that the kernel has a packet come by, where that is not the interface that the program saw it at: the
//! VLAN device of its tag, the bond, bridge or team that the interface is a port of. Routes name that device, and its
//! settings hold for the packet.

use crate::abi::{Interface, UpperKey};
use crate::ethernet::Tags;
use crate::tables::Tables;

/// Index of the device whose packets frames with these tags are that came by an interface.
#[inline(always)]
pub(super) fn device<T: Tables>(tables: T, interface: u32, tags: Tags) -> u32 {
    let any = tables.config().map_or(0, |config| config.interface_flags);
    if any & Interface::HAS_UPPER == 0 {
        return interface;
    }
    let [outer, inner] = tags;
    let vlans = u32::from(outer.get() & 0xfff) | u32::from(inner.get() & 0xfff) << 16;
    look_up(tables, interface, vlans)
}

/// The same for VLAN ids, the outer one in the lower half.
#[inline(never)]
fn look_up<T: Tables>(tables: T, interface: u32, vlans: u32) -> u32 {
    let mut key = UpperKey {
        interface,
        vlan: vlans & 0xfff,
    };
    if let Some(device) = tables.upper_device(&key) {
        key.interface = device;
    }
    key.vlan = vlans >> 16;
    if key.vlan != 0
        && let Some(device) = tables.upper_device(&key)
    {
        key.interface = device;
    }
    key.interface
}
