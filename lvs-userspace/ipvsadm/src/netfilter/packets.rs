//! Sets of packets, and functions of packets as lists of layers.

use lvs_api::mark::{Network, PortRange};
use lvs_api::model::Protocol;

/// Layers that one function may have.
const MAX_LAYERS: usize = 2048;

/// The packets that fulfil all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Packets {
    pub(super) destination: Option<Network>,
    pub(super) source: Option<Network>,
    pub(super) protocol: Option<Protocol>,
    pub(super) destination_ports: Option<PortRange>,
    pub(super) source_ports: Option<PortRange>,
    /// A name, or with `+` at its end the beginning of several.
    pub(super) interface: Option<String>,
}

impl Packets {
    /// The packets that are in both sets; `None`: there are none.
    fn and(&self, other: &Self) -> Option<Self> {
        let networks = [
            self.destination,
            self.source,
            other.destination,
            other.source,
        ];
        let mut families = networks.iter().flatten().map(|net| net.address.is_ipv4());
        let family = families.next();
        if families.any(|other| Some(other) != family) {
            return None;
        }
        Some(Self {
            destination: both(self.destination, other.destination, networks_and)?,
            source: both(self.source, other.source, networks_and)?,
            protocol: both(self.protocol, other.protocol, |one, other| {
                (one == other).then_some(one)
            })?,
            destination_ports: both(self.destination_ports, other.destination_ports, ports_and)?,
            source_ports: both(self.source_ports, other.source_ports, ports_and)?,
            interface: both(
                self.interface.as_deref(),
                other.interface.as_deref(),
                interfaces_and,
            )?
            .map(str::to_owned),
        })
    }

    /// True if all packets of another set are in this one.
    fn covers(&self, other: &Self) -> bool {
        self.and(other).as_ref() == Some(other)
    }
}

/// The condition that is both of these; an empty one is always fulfilled. `None`: nothing can.
#[expect(
    clippy::option_option,
    reason = "a condition may be missing, or impossible"
)]
fn both<T>(one: Option<T>, other: Option<T>, and: impl Fn(T, T) -> Option<T>) -> Option<Option<T>> {
    match (one, other) {
        (Some(one), Some(other)) => and(one, other).map(Some),
        (one, other) => Some(one.or(other)),
    }
}

fn networks_and(one: Network, other: Network) -> Option<Network> {
    let (wide, narrow) = if one.prefix <= other.prefix {
        (one, other)
    } else {
        (other, one)
    };
    wide.meets(&narrow).then_some(narrow)
}

fn ports_and(one: PortRange, other: PortRange) -> Option<PortRange> {
    let (first, last) = (one.first.max(other.first), one.last.min(other.last));
    (first <= last).then_some(PortRange { first, last })
}

fn interfaces_and<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    let begins = |name: &str, pattern: &str| {
        let start = pattern.strip_suffix('+');
        start.map_or(name == pattern, |start| name.starts_with(start))
    };
    if begins(one, other) {
        Some(one)
    } else {
        begins(other, one).then_some(other)
    }
}

/// A function of packets: the value of the last layer that a packet is in, or that of the ground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layers<V> {
    pub(super) ground: V,
    pub(super) layers: Vec<(Packets, V)>,
}

/// A set of packets of any form.
pub(super) type Region = Layers<bool>;

impl<V: Copy + PartialEq> Layers<V> {
    /// The same for all packets.
    pub(super) const fn all(ground: V) -> Self {
        Self {
            ground,
            layers: Vec::new(),
        }
    }

    /// The ground and all layers.
    fn whole(&self) -> impl Iterator<Item = (Packets, V)> {
        let ground = std::iter::once((Packets::default(), self.ground));
        ground.chain(self.layers.iter().cloned())
    }

    /// Lays one more upon the others, if it changes anything.
    fn lay(&mut self, packets: Packets, value: V) {
        if packets == Packets::default() {
            *self = Self::all(value);
            return;
        }
        // The layers that any of these packets see, from the top down to one that all of them see.
        let mut seen = true;
        let mut changes = false;
        for (below, its) in self.layers.iter().rev() {
            if below.and(&packets).is_some() {
                changes |= *its != value;
                if below.covers(&packets) {
                    seen = false;
                    break;
                }
            }
        }
        if seen {
            changes |= self.ground != value;
        }
        if changes {
            self.layers.retain(|(below, _)| !packets.covers(below));
            self.layers.push((packets, value));
        }
    }

    /// Changes the value of all packets of a region.
    pub(super) fn change(
        &mut self,
        region: &Region,
        change: impl Fn(V) -> V,
    ) -> Result<(), String> {
        let before = self.clone();
        let mut changed: Vec<Packets> = Vec::new();
        for (packets, inside) in region.whole() {
            if inside {
                for (below, value) in before.whole() {
                    if let Some(both) = packets.and(&below) {
                        self.lay(both, change(value));
                    }
                }
                changed.push(packets);
                continue;
            }
            // What was changed by a layer below has its value back.
            for back in changed.iter().filter_map(|changed| changed.and(&packets)) {
                for (below, value) in before.whole() {
                    if let Some(both) = back.and(&below) {
                        self.lay(both, value);
                    }
                }
            }
        }
        if self.layers.len() > MAX_LAYERS {
            *self = before;
            return Err(format!("more than {MAX_LAYERS} combinations of conditions"));
        }
        Ok(())
    }

    /// The region where the value is such.
    pub(super) fn region(&self, such: impl Fn(V) -> bool) -> Region {
        let mut region = Region::all(such(self.ground));
        for (packets, value) in &self.layers {
            region.lay(packets.clone(), such(*value));
        }
        region
    }
}

impl Region {
    /// These packets, or all others.
    pub(super) fn of(packets: impl IntoIterator<Item = Packets>, negated: bool) -> Self {
        let mut region = Self::all(negated);
        for packets in packets {
            region.lay(packets, !negated);
        }
        region
    }

    /// The packets that are in both regions.
    pub(super) fn and(&self, other: &Self) -> Result<Self, String> {
        let mut region = self.clone();
        region.change(&other.region(|inside| !inside), |_| false)?;
        Ok(region)
    }

    /// The sets that the region is made of, before some of their packets are taken out.
    pub(super) fn parts(&self) -> impl Iterator<Item = Packets> {
        self.whole()
            .filter(|(_, inside)| *inside)
            .map(|(packets, _)| packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(destination: &str) -> Packets {
        Packets {
            destination: Some(destination.parse().unwrap()),
            ..Packets::default()
        }
    }

    fn by(interface: &str) -> Packets {
        Packets {
            interface: Some(interface.to_owned()),
            ..Packets::default()
        }
    }

    #[test]
    fn sets_meet_where_all_conditions_do() {
        let net = to("10.0.0.0/8");
        assert_eq!(net.and(&to("10.1.0.0/16")), Some(to("10.1.0.0/16")));
        assert_eq!(net.and(&to("11.0.0.0/16")), None);
        assert_eq!(net.and(&to("::/0")), None);
        assert_eq!(by("eth+").and(&by("eth0")), Some(by("eth0")));
        assert_eq!(by("eth1+").and(&by("eth+")), Some(by("eth1+")));
        assert_eq!(by("eth+").and(&by("wan0")), None);
        assert_eq!(by("eth").and(&by("eth0")), None);
        assert!(net.covers(&to("10.1.0.0/16")) && !to("10.1.0.0/16").covers(&net));
    }

    #[test]
    fn a_region_without_some_of_its_packets_changes_only_the_others() {
        let mut marks = Layers::all(0);
        marks
            .change(&Region::of([to("10.0.0.0/24")], false), |_| 1)
            .unwrap();
        let other = Region::of([by("eth0")], true);
        let region = Region::of([to("10.0.0.7/32")], false).and(&other).unwrap();
        marks.change(&region, |mark| mark | 2).unwrap();
        let back = Packets {
            interface: Some("eth0".to_owned()),
            ..to("10.0.0.7/32")
        };
        assert_eq!(
            marks.layers,
            [(to("10.0.0.0/24"), 1), (to("10.0.0.7/32"), 3), (back, 1)]
        );
    }

    #[test]
    fn what_changes_nothing_is_no_layer() {
        let mut marks = Layers::all(0);
        let net = Region::of([to("10.0.0.0/24")], false);
        marks.change(&net, |_| 0).unwrap();
        assert!(marks.layers.is_empty());
        marks.change(&net, |_| 1).unwrap();
        marks
            .change(&Region::of([to("10.0.0.7/32")], false), |_| 1)
            .unwrap();
        assert_eq!(marks.layers.len(), 1);
        marks.change(&net, |_| 2).unwrap();
        assert_eq!(marks.layers, [(to("10.0.0.0/24"), 2)]);
    }
}
