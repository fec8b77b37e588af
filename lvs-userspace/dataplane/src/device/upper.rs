//! The device that the kernel has an interface's frames come by: the VLAN device of their tag, the bond, bridge or
//! team that the interface is a port of. Without I/O.

use std::collections::{BTreeMap, BTreeSet};

use lvs_common::abi::UpperKey;

use crate::neighbour::{Interface, Interfaces};

/// Kinds of devices that take their ports' frames for their own. (A VRF leaves them to its members.)
const MASTERS: [&str; 3] = ["bond", "bridge", "team"];
/// Devices upon each other, at most: the kernel allows no more.
const LEVELS: usize = 8;

/// The devices of all frames that are not their interface's.
pub(super) fn upper_devices(interfaces: &Interfaces) -> BTreeMap<UpperKey, u32> {
    let untagged = interfaces
        .keys()
        .map(|&index| (index, 0, top(interfaces, index)));
    let tagged = interfaces.iter().flat_map(|(&index, device)| {
        let (below, vlan) = below(interfaces, device);
        let device = top(interfaces, index);
        below.into_iter().map(move |below| (below, vlan, device))
    });
    untagged
        .chain(tagged)
        .filter(|(interface, _, device)| interface != device)
        .map(|(interface, vlan, device)| (UpperKey { interface, vlan }, device))
        .collect()
}

/// The device that an interface's frames are without a tag.
fn top(interfaces: &Interfaces, index: u32) -> u32 {
    let mut index = index;
    for _ in 0..LEVELS {
        match master(interfaces, index) {
            Some(master) => index = master,
            None => break,
        }
    }
    index
}

/// The interfaces that a VLAN device's frames come by, and their VLAN as in [`UpperKey`]: the one below it, and that
/// one's ports. None where the kernel drops them (`vlan_do_receive`), as the device is down.
fn below(interfaces: &Interfaces, device: &Interface) -> (Vec<u32>, u32) {
    // A tag of id 0 is taken for none.
    let Some(vlan) = device.vlan.filter(|vlan| device.up && vlan.id != 0) else {
        return (Vec::new(), 0);
    };
    let service = if vlan.customer { 0 } else { UpperKey::SERVICE };
    let found = carriers(interfaces, vlan.lower);
    (found, u32::from(vlan.id) | service)
}

/// The interfaces that frames of a VLAN device come by, whether it is up or not.
pub(super) fn tagged(interfaces: &Interfaces) -> BTreeSet<u32> {
    let vlans = interfaces.values().filter_map(|device| device.vlan);
    vlans
        .flat_map(|vlan| carriers(interfaces, vlan.lower))
        .collect()
}

/// The interface below a VLAN device, and that one's ports.
fn carriers(interfaces: &Interfaces, lower: Option<u32>) -> Vec<u32> {
    let mut found: Vec<u32> = lower.into_iter().collect();
    let mut at = 0;
    while let Some(&index) = found.get(at) {
        at += 1;
        let ports = interfaces
            .keys()
            .copied()
            .filter(|&port| master(interfaces, port) == Some(index) && !found.contains(&port));
        let ports: Vec<_> = ports.collect();
        found.extend(ports);
    }
    found
}

/// The device that an interface is a port of, if that takes its frames.
fn master(interfaces: &Interfaces, index: u32) -> Option<u32> {
    let master = interfaces.get(&index)?.master?;
    let kind = &*interfaces.get(&master)?.kind;
    MASTERS.contains(&kind).then_some(master)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neighbour::Vlan;

    const CARD: u32 = 1;
    const PORTS: [u32; 2] = [2, 3];
    const BOND: u32 = 4;
    const BRIDGE: u32 = 5;
    const VRF: u32 = 6;

    fn device(kind: &str, master: Option<u32>) -> Interface {
        Interface {
            master,
            ..Interface::example(kind, kind)
        }
    }

    fn vlan(lower: u32, id: u16, customer: bool, master: Option<u32>) -> Interface {
        Interface {
            vlan: Some(Vlan {
                lower: Some(lower),
                id,
                customer,
            }),
            ..device("vlan", master)
        }
    }

    fn down(device: Interface) -> Interface {
        Interface {
            up: false,
            ..device
        }
    }

    fn devices(interfaces: &[(u32, Interface)]) -> Vec<(u32, u32, u32)> {
        let found = upper_devices(&interfaces.iter().cloned().collect());
        let triple = |(key, device): (UpperKey, u32)| (key.interface, key.vlan, device);
        found.into_iter().map(triple).collect()
    }

    #[test]
    fn frames_of_a_port_are_its_masters_unless_that_is_a_vrf() {
        let interfaces = [
            (CARD, device("", Some(VRF))),
            (PORTS[0], device("", Some(BOND))),
            (PORTS[1], device("", Some(BOND))),
            (BOND, device("bond", Some(BRIDGE))),
            (BRIDGE, device("bridge", None)),
            (VRF, device("vrf", None)),
        ];
        let expected = [(2, 0, BRIDGE), (3, 0, BRIDGE), (BOND, 0, BRIDGE)];
        assert_eq!(devices(&interfaces), expected);
    }

    #[test]
    fn frames_with_tags_come_by_all_ports_below_a_vlan_device() {
        let interfaces = [
            (CARD, device("", None)),
            (PORTS[0], device("", Some(BOND))),
            (PORTS[1], device("", Some(BOND))),
            (BOND, device("bond", None)),
            (10, down(vlan(BOND, 8, true, None))),
        ];
        let found = tagged(&interfaces.into_iter().collect());
        assert_eq!(found, BTreeSet::from([PORTS[0], PORTS[1], BOND]));
    }

    #[test]
    fn tagged_frames_are_the_vlan_devices_by_whichever_port_they_come() {
        let interfaces = [
            (CARD, device("", None)),
            (PORTS[0], device("", Some(BOND))),
            (BOND, device("bond", None)),
            (BRIDGE, device("bridge", None)),
            (10, vlan(CARD, 7, true, None)),
            (11, vlan(BOND, 8, true, None)),
            (12, vlan(BOND, 9, true, Some(BRIDGE))),
            // A provider's tag inside which is a customer's.
            (13, vlan(CARD, 7, false, None)),
            (14, vlan(13, 5, true, None)),
            (15, down(vlan(CARD, 6, true, None))),
            (16, vlan(CARD, 0, true, None)),
        ];
        let expected = [
            (CARD, 7, 10),
            (CARD, 7 | UpperKey::SERVICE, 13),
            (PORTS[0], 0, BOND),
            (PORTS[0], 8, 11),
            (PORTS[0], 9, BRIDGE),
            (BOND, 8, 11),
            (BOND, 9, BRIDGE),
            (12, 0, BRIDGE),
            (13, 5, 14),
        ];
        assert_eq!(devices(&interfaces), expected);
    }
}
