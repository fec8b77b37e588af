//! The decision where the packet path runs on an interface: in its driver (XDP) or behind it (TC).
//! No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::modes::Mode;
use super::netdev::{BASIC, Features, NDO_XMIT};
use crate::neighbour::Interfaces;

/// Kinds of interfaces that run no XDP program in their driver and take no frames from one.
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

/// Refusal of a veth device whose other end is not prepared.
const DEAF: &str = "a veth device whose other end takes no frames from XDP (ethtool -K … gro on there, or an \
                    XDP program)";

/// The way of an interface's packets into the director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// An XDP program in the driver.
    pub(super) xdp: bool,
    /// A TC program behind it: alone, or for what the XDP program cannot send.
    pub(super) tc: bool,
    /// The reason, for people.
    pub(super) why: String,
}

/// The devices of the network namespace, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Devices {
    /// All interfaces.
    pub(super) interfaces: Arc<Interfaces>,
    /// Their features, as the kernel says; `None`: this kernel says nothing.
    pub(super) features: Option<Features>,
    /// Interfaces whose driver runs the program.
    pub(super) attached: BTreeSet<u32>,
    /// Interfaces whose driver refused the program, and its words.
    pub(super) refused: BTreeMap<u32, String>,
    /// Interfaces whose driver takes off the VLAN tag of a frame before the program sees it, where some have one.
    pub(super) untagging: BTreeSet<u32>,
    /// Interfaces that lost frames from an XDP program.
    pub(super) lossy: BTreeSet<u32>,
    /// Interfaces that were tried out with a frame since the program runs there; true: they took it.
    pub(super) tried: BTreeMap<u32, bool>,
    /// Interfaces that the operator wants XDP at.
    pub(super) insisted: BTreeSet<u32>,
}

impl Devices {
    /// True if an interface takes frames from an XDP program, as far as anybody can tell.
    pub(super) fn sends_xdp(&self, index: u32) -> bool {
        if self.lossy.contains(&index) {
            return false;
        }
        match &self.features {
            Some(features) => features
                .get(&index)
                .is_some_and(|bits| bits & NDO_XMIT != 0),
            // Many drivers send such frames only while a program of their own is attached. The other end of a veth
            // device may change without a word.
            None => {
                self.attached.contains(&index)
                    && self.tried.get(&index) == Some(&true)
                    && (self.insisted.contains(&index) || self.veth(index).is_none())
            }
        }
    }

    /// Indices of all interfaces that take frames from an XDP program.
    pub(super) fn senders(&self) -> BTreeSet<u32> {
        let indices = self.interfaces.keys().copied();
        indices.filter(|&index| self.sends_xdp(index)).collect()
    }

    /// Chooses the way in of an interface, while packets leave by `ways_out`. An error is the reason why
    /// the operator's wish cannot be.
    pub(super) fn choose(
        &self,
        index: u32,
        mode: Mode,
        ways_out: &BTreeSet<u32>,
    ) -> Result<Choice, String> {
        let alone = |why| Choice {
            xdp: false,
            tc: true,
            why,
        };
        let beside = self.deaf(ways_out);
        match mode {
            Mode::Tc => Ok(alone("as wanted (--mode)".to_owned())),
            Mode::Xdp => {
                self.able(index)?;
                // Where the kernel says nothing the operator knows better.
                if let (Some(veth), Some(_)) = (self.veth(index), &self.features)
                    && !self.sends_xdp(veth)
                {
                    return Err(DEAF.to_owned());
                }
                // Packets without a tag are handled as they should be, which may be all that matter.
                let why = match self.untagged(index) {
                    None => "as wanted (--mode)".to_owned(),
                    Some(untagged) => format!("as wanted (--mode), though {untagged}"),
                };
                Ok(self.native(index, &why, beside))
            }
            Mode::Auto => match self
                .able(index)
                .and_then(|()| self.untagged(index).map_or(Ok(()), Err))
                .and_then(|()| self.veth_fit(index, ways_out))
            {
                Ok(()) => Ok(self.native(index, "its driver runs XDP programs", beside)),
                Err(why) => Ok(alone(why)),
            },
        }
    }

    /// A way out that takes no frames from an XDP program, as far as is known.
    fn deaf(&self, ways_out: &BTreeSet<u32>) -> Option<u32> {
        ways_out
            .iter()
            .copied()
            .find(|&other| !self.sends_xdp(other))
    }

    /// Forgets what was found out about interfaces, but those that `stay` as they were.
    pub(super) fn forget(&mut self, stay: impl Fn(u32) -> bool) {
        self.lossy.retain(|&index| stay(index));
        self.tried.retain(|&index, _| stay(index));
    }

    /// Interfaces with the program in their driver that were not tried out yet.
    pub(super) fn untried(&self) -> Vec<u32> {
        let attached = self.attached.iter().copied();
        attached
            .filter(|index| !self.tried.contains_key(index) && !self.lossy.contains(index))
            .collect()
    }

    /// The reason why the program runs nowhere on an interface: whoever holds a tap device of a macvlan or ipvlan gets
    /// all its packets, ARP included, and the director would answer for none of its addresses.
    pub(super) fn unfit(&self, index: u32) -> Option<String> {
        let found = self.interfaces.get(&index)?;
        if !matches!(&*found.kind, "macvtap" | "ipvtap") {
            return None;
        }
        let below = found.lower.map(|lower| self.name(lower));
        let below = below.unwrap_or_else(|| "the interface below".to_owned());
        Some(format!(
            "the packets of a {} device are those of the program or guest that holds it; name {below} instead",
            found.kind
        ))
    }

    /// True if packets have an Ethernet header there.
    pub(super) fn has_ethernet(&self, index: u32) -> bool {
        let interface = self.interfaces.get(&index);
        interface.is_none_or(|interface| interface.ethernet)
    }

    /// The name of an interface.
    pub(super) fn name(&self, index: u32) -> String {
        let interface = self.interfaces.get(&index);
        interface.map_or_else(|| format!("interface {index}"), |found| found.name.clone())
    }

    fn native(&self, index: u32, why: &str, beside: Option<u32>) -> Choice {
        let why = match beside {
            None => why.to_owned(),
            Some(other) if other == index => {
                format!("{why}, but it takes no frames from XDP: TC sends there")
            }
            Some(other) => format!(
                "{why}; TC beside it for what leaves by {}, which takes no frames from XDP",
                self.name(other)
            ),
        };
        Choice {
            xdp: true,
            tc: beside.is_some(),
            why,
        }
    }

    /// An error: the reason why its driver runs no XDP program.
    fn able(&self, index: u32) -> Result<(), String> {
        if let Some(refusal) = self.refused.get(&index) {
            return Err(format!("its driver refuses the XDP program: {refusal}"));
        }
        let Some(interface) = self.interfaces.get(&index) else {
            return Ok(());
        };
        let kind = match &*interface.kind {
            "" => "its driver".to_owned(),
            kind if kind.starts_with(['e', 'i']) => format!("an {kind} device"),
            kind => format!("a {kind} device"),
        };
        if !interface.ethernet {
            return Err("packets have no Ethernet header there, which XDP needs".to_owned());
        }
        match &self.features {
            Some(features) if features.get(&index).is_none_or(|bits| bits & BASIC == 0) => {
                Err(format!("{kind} runs no XDP programs"))
            }
            None if NEVER.contains(&&*interface.kind) => {
                Err(format!("{kind} runs no XDP programs"))
            }
            _ => Ok(()),
        }
    }

    /// The reason why an XDP program takes packets of VLANs for packets without one, if it does.
    fn untagged(&self, index: u32) -> Option<String> {
        let beneath = self.beneath(index);
        let untagging = beneath.intersection(&self.untagging);
        let names: Vec<_> = untagging.map(|&index| self.name(index)).collect();
        (!names.is_empty()).then(|| {
            format!(
                "VLAN tags are taken off before XDP sees the frames (to keep them: ethtool -K IF rxvlan off, for {})",
                names.join(" and ")
            )
        })
    }

    /// A veth device takes a program in any case, but its packets are lost where the other end, which nobody
    /// sees from here, is not prepared for it.
    fn veth_fit(&self, index: u32, ways_out: &BTreeSet<u32>) -> Result<(), String> {
        let Some(veth) = self.veth(index) else {
            return Ok(());
        };
        if self.features.is_none() {
            return Err(
                "a veth device, and this kernel does not say whether its other end takes frames \
                        from XDP"
                    .to_owned(),
            );
        }
        if !self.sends_xdp(veth) {
            return Err(DEAF.to_owned());
        }
        match self.deaf(ways_out) {
            Some(other) if other != index => Err(format!(
                "a veth device, and {} takes no frames from XDP",
                self.name(other)
            )),
            _ => Ok(()),
        }
    }

    /// The veth device that an interface is, or is made of.
    fn veth(&self, index: u32) -> Option<u32> {
        self.beneath(index).into_iter().find(|index| {
            self.interfaces
                .get(index)
                .is_some_and(|found| found.kind == "veth")
        })
    }

    /// An interface and all that its packets come through: the one a VLAN or macvlan device lies upon, the
    /// ports of a bridge or bond.
    fn beneath(&self, index: u32) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let mut open = vec![index];
        while let Some(index) = open.pop() {
            if !found.insert(index) {
                continue;
            }
            open.extend(self.interfaces.get(&index).and_then(|found| found.lower));
            let ports = self
                .interfaces
                .iter()
                .filter(|(_, port)| port.master == Some(index));
            open.extend(ports.map(|(&port, _)| port));
        }
        found
    }
}

#[cfg(test)]
mod tests;
