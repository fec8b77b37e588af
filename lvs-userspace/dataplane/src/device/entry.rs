//! Records of the interfaces for the packet path.

use std::collections::{BTreeMap, BTreeSet};

use lvs_common::abi::{self, UpperKey};

use crate::neighbour::{Interface, Interfaces};

/// The records of all interfaces, by index. `senders` are those that take frames from an XDP program, `uppers` the
/// devices whose frames they carry.
pub(super) fn entries(
    interfaces: &Interfaces,
    senders: &BTreeSet<u32>,
    uppers: &BTreeMap<UpperKey, u32>,
) -> BTreeMap<u32, abi::Interface> {
    let has_upper: BTreeSet<_> = uppers.keys().map(|key| key.interface).collect();
    let entry = |(&index, interface): (&u32, &Interface)| {
        let below = interface.plain_vlan().filter(|(lower, _)| {
            let lower = interfaces.get(lower);
            lower.is_some_and(|lower| lower.vlan.is_none())
        });
        let (lower, vlan) = below.unwrap_or((index, 0));
        let mut flags = 0;
        if senders.contains(&lower) {
            flags |= abi::Interface::SENDS_XDP;
        }
        if !interface.ethernet {
            flags |= abi::Interface::NO_ETHERNET;
        }
        if has_upper.contains(&index) {
            flags |= abi::Interface::HAS_UPPER;
        }
        let entry = abi::Interface {
            flags,
            lower,
            mac: interface.mac.unwrap_or_default(),
            vlan: vlan.into(),
            mtu: u16::try_from(interface.mtu).unwrap_or(u16::MAX),
            reserved: [0; 2],
            equal_cost: 0,
        };
        (index, entry)
    };
    interfaces.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neighbour::Vlan;

    fn vlan(lower: u32, id: u16, customer: bool) -> Interface {
        Interface {
            vlan: Some(Vlan {
                lower: Some(lower),
                id,
                customer,
            }),
            lower: Some(lower),
            ..Interface::example("vlan", "vlan")
        }
    }

    #[test]
    fn a_vlan_device_sends_by_what_lies_below() {
        let interfaces = [
            (1, Interface::example("eth0", "")),
            (2, vlan(1, 7, true)),
            (3, vlan(2, 8, true)),
            (4, vlan(1, 9, false)),
        ];
        let entries = entries(&interfaces.into(), &BTreeSet::from([1]), &BTreeMap::new());
        let of = |index| {
            let entry: &abi::Interface = entries.get(&index).unwrap();
            (entry.lower, entry.vlan.get(), entry.flags)
        };
        assert_eq!(of(1), (1, 0, abi::Interface::SENDS_XDP));
        assert_eq!(of(2), (1, 7, abi::Interface::SENDS_XDP));
        assert_eq!(of(3), (3, 0, 0), "two tags are the kernel's to write");
        assert_eq!(of(4), (4, 0, 0), "and so are a provider's");
    }

    #[test]
    fn an_interface_without_ethernet_header_says_so() {
        let tun = Interface {
            ethernet: false,
            mac: None,
            ..Interface::example("tun0", "tun")
        };
        let entries = entries(&[(5, tun)].into(), &BTreeSet::new(), &BTreeMap::new());
        let entry = entries.get(&5).unwrap();
        assert_eq!(
            (entry.flags, entry.mac),
            (abi::Interface::NO_ETHERNET, [0; 6])
        );
    }
}
