//! The device that the kernel has a packet come by, where that is not the interface that the program saw it at: the
//! VLAN device of its tag, the bond, bridge or team that the interface is a port of. Routes name that device, and its
//! settings hold for the packet. A tag that no VLAN device has makes a frame another host's (`PACKET_OTHERHOST` of
//! `__netif_receive_skb_core`).

use crate::abi::{Interface, UpperKey};
use crate::ethernet::{EthernetHeader, Vlans};
use crate::tables::Tables;

/// Index of the device whose packets frames of these VLANs are that came by an interface; 0: nobody's here.
#[inline(always)]
pub(super) fn device<T: Tables>(tables: T, interface: u32, vlans: Vlans) -> u32 {
    let any = tables.config().map_or(0, |config| config.interface_flags);
    if any & Interface::HAS_UPPER == 0 {
        return if vlans == Vlans::NONE { interface } else { 0 };
    }
    look_up(tables, interface, vlans.to_bits())
}

/// Returns whether frames of these VLANs that came by an interface are a device's. Those without a VLAN always are.
#[inline(always)]
pub(super) fn has_device<T: Tables>(tables: T, interface: u32, vlans: Vlans) -> bool {
    vlans == Vlans::NONE || device(tables, interface, vlans) != 0
}

/// Returns whether frames with such a header that came by an interface are for the device above it. The kernel compares
/// with the interface's own Ethernet address first, and a bridge has that of one of its ports, or another.
#[inline(never)]
pub(super) fn is_addressed<T: Tables>(tables: T, interface: u32, header: &EthernetHeader) -> bool {
    let device = device(tables, interface, header.vlans);
    device != interface
        && tables
            .interface(device)
            .is_some_and(|found| found.mac == header.destination)
}

/// The same as [`device`] for [`Vlans::to_bits`].
#[inline(never)]
fn look_up<T: Tables>(tables: T, interface: u32, vlans: u32) -> u32 {
    let mut key = UpperKey {
        interface,
        vlan: vlans & 0xffff,
    };
    match tables.upper_device(&key) {
        Some(device) => key.interface = device,
        None if key.vlan != 0 => return 0,
        None => {}
    }
    key.vlan = vlans >> 16;
    if key.vlan == 0 {
        return key.interface;
    }
    tables.upper_device(&key).unwrap_or(0)
}
