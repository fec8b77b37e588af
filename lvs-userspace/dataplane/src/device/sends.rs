//! The interfaces that take frames from an XDP program.

use std::collections::BTreeSet;

use crate::neighbour::{Interface, Interfaces};

/// Kinds of interfaces that an XDP program cannot send by, on any kernel: the frames are lost and nobody tells.
const NEVER: [&str; 17] = [
    "bridge",
    "vlan",
    "macvlan",
    "macvtap",
    "ipvlan",
    "ipvtap",
    "vxlan",
    "geneve",
    "dummy",
    "ifb",
    "vrf",
    "team",
    "gretap",
    "ip6gretap",
    "erspan",
    "macsec",
    "netkit",
];

/// Indices of the interfaces that take frames from an XDP program, as far as their kinds tell.
pub fn senders(interfaces: &Interfaces) -> BTreeSet<u32> {
    let able = |interface: &Interface| {
        interface.ethernet && interface.mac.is_some() && !NEVER.contains(&&*interface.kind)
    };
    let able = interfaces.iter().filter(|(_, interface)| able(interface));
    able.map(|(&index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_made_of_software_send_no_xdp_frames() {
        let interfaces = [
            (1, Interface::example("eth0", "")),
            (2, Interface::example("br0", "bridge")),
            (3, Interface::example("bond0", "bond")),
            (4, Interface::example("mv0", "macvlan")),
        ];
        assert_eq!(senders(&interfaces.into()), BTreeSet::from([1, 3]));
    }
}
