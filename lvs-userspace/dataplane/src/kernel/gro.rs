//! Generic receive offload (GRO), which merges segments on their way in.
//!
//! Where a driver runs the program itself, it sees packets before anybody merges them. In generic mode
//! it sees what GRO made of them: larger than any way out, so that the director would answer "too big"
//! to a sender that did nothing wrong. (The kernel itself switches off only what the card merges, in
//! `generic_xdp_install`.)

use std::collections::BTreeSet;
use std::io;

use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use tracing::{info, warn};

use super::ethtool::{self, Feature};
use super::interfaces;

/// Switches GRO off on an interface and on those that it lies upon, where it is on.
pub(super) fn switch_off(interface: u32) {
    let links = match interfaces::dump() {
        Ok(links) => links,
        Err(error) => return warn!("cannot list the machine's interfaces: {error}"),
    };
    for index in beneath(interface, &links) {
        let Some(name) = links
            .iter()
            .find(|link| link.header.index == index)
            .and_then(name)
        else {
            continue;
        };
        match switch_off_one(name) {
            Ok(true) => info!("{name}: switched GRO off, merged segments would not fit anywhere"),
            Ok(false) => {}
            Err(error) => warn!(
                "{name}: cannot switch GRO off ({error}): merged segments will be refused as too \
                 large; try: ethtool -K {name} gro off"
            ),
        }
    }
}

/// An interface and all that its packets come through: the one a VLAN or macvlan device lies upon, the
/// ports of a bridge or bond.
fn beneath(interface: u32, links: &[LinkMessage]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut open = vec![interface];
    while let Some(index) = open.pop() {
        if !found.insert(index) {
            continue;
        }
        let of_index = links.iter().filter(|link| link.header.index == index);
        open.extend(of_index.filter_map(lower));
        let ports = links.iter().filter(|link| master(link) == Some(index));
        open.extend(ports.map(|link| link.header.index));
    }
    found
}

/// Index of the interface that a device lies upon. (A veth device names its other end in the same place, and
/// one in another network namespace is none of ours.)
fn lower(link: &LinkMessage) -> Option<u32> {
    let elsewhere = link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkNetNsId(_) => true,
        LinkAttribute::LinkInfo(infos) => infos
            .iter()
            .any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth))),
        _ => false,
    });
    let lower = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Link(index) => Some(*index),
            _ => None,
        });
    lower.filter(|_| !elsewhere)
}

fn master(link: &LinkMessage) -> Option<u32> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Controller(index) => Some(*index),
            _ => None,
        })
}

fn name(link: &LinkMessage) -> Option<&str> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        })
}

/// True if it was on.
fn switch_off_one(interface: &str) -> io::Result<bool> {
    let was_on = ethtool::get(interface, Feature::Gro)?;
    if was_on {
        ethtool::set(interface, Feature::Gro, false)?;
    }
    Ok(was_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes = attributes;
        link
    }

    #[test]
    fn packets_come_through_what_lies_beneath() {
        let links = [
            link(1, vec![LinkAttribute::Controller(3)]),
            link(2, vec![LinkAttribute::Controller(3)]),
            link(3, vec![]),
            link(4, vec![LinkAttribute::Link(3)]),
            link(5, vec![]),
        ];
        assert_eq!(beneath(4, &links), BTreeSet::from([1, 2, 3, 4]));
        assert_eq!(beneath(5, &links), BTreeSet::from([5]));
    }

    #[test]
    fn the_other_end_of_a_wire_lies_not_beneath() {
        let veth = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]);
        let links = [
            link(1, vec![LinkAttribute::Link(2), veth]),
            link(
                2,
                vec![LinkAttribute::Link(1), LinkAttribute::LinkNetNsId(0)],
            ),
        ];
        assert_eq!(beneath(1, &links), BTreeSet::from([1]));
        assert_eq!(beneath(2, &links), BTreeSet::from([2]));
    }
}
