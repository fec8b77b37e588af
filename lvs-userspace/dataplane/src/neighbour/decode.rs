//! Decodes netlink messages into updates of the tables.

use std::net::IpAddr;

use lvs_common::abi::Mac;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    VlanProtocol,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
    NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::tables::{Address, Discovery, Interface, Neighbour, NeighbourKey, Route, Vlan};
use super::update::{Prefix, Update};

/// Decodes a message, if it is about something that next hops depend on.
pub(super) fn update(message: &RouteNetlinkMessage) -> Option<Update> {
    use RouteNetlinkMessage as Message;
    match message {
        Message::NewLink(message) => Some(Update::Interface(
            message.header.index,
            Some(interface(message)?),
        )),
        // That a bridge loses a port is announced in the family of bridges.
        Message::DelLink(message) if message.header.interface_family == AddressFamily::Unspec => {
            Some(Update::Interface(message.header.index, None))
        }
        Message::NewAddress(message) => {
            Some(Update::Address(message.header.index, address(message)?))
        }
        Message::DelAddress(message) => Some(Update::AddressRemoved(
            message.header.index,
            address(message)?.ip,
        )),
        Message::NewNeighbour(message) => Some(Update::Neighbour(
            neighbour_key(message)?,
            neighbour(message),
        )),
        Message::DelNeighbour(message) => Some(Update::Neighbour(neighbour_key(message)?, None)),
        Message::NewRoute(message) | Message::DelRoute(message) => {
            Some(Update::Routes(prefix(message)?))
        }
        Message::NewRule(_) | Message::DelRule(_) => Some(Update::AllRoutes),
        _ => None,
    }
}

/// Decodes the answer to a route lookup.
pub(super) fn route(message: &RouteMessage) -> Route {
    match message.header.kind {
        RouteType::Local | RouteType::Anycast => return Route::Local,
        RouteType::Unicast => {}
        RouteType::Broadcast => return Route::None("it is a broadcast address".into()),
        RouteType::Multicast => return Route::None("it is a multicast address".into()),
        RouteType::BlackHole => return Route::None("its route is a blackhole".into()),
        RouteType::Unreachable => return Route::None("its route says unreachable".into()),
        RouteType::Prohibit => return Route::None("its route says prohibited".into()),
        kind => return Route::None(format!("its route is of a kind without next hop: {kind:?}")),
    }
    let (mut interface, mut gateway, mut source, mut mtu) = (None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some((*address).into()),
            RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some((*address).into()),
            RouteAttribute::PrefSource(address) => source = ip(address),
            RouteAttribute::Metrics(metrics) => {
                mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) if *mtu > 0 => Some(*mtu),
                    _ => None,
                });
            }
            RouteAttribute::Encap(_) => {
                return Route::None("its route encapsulates packets (lwtunnel)".into());
            }
            _ => {}
        }
    }
    match interface {
        Some(interface) => Route::Unicast {
            interface,
            gateway,
            source,
            mtu,
        },
        None => Route::None("its route names no interface".into()),
    }
}

/// The interfaces of a route's next hops of equal cost; none if it has one.
pub(crate) fn next_hops(message: &RouteMessage) -> Vec<u32> {
    let hops = message
        .attributes
        .iter()
        .filter_map(|attribute| match attribute {
            RouteAttribute::MultiPath(hops) => Some(hops),
            _ => None,
        });
    hops.flatten().map(|hop| hop.interface_index).collect()
}

fn interface(message: &LinkMessage) -> Option<Interface> {
    let header = &message.header;
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let flags = header.flags;
    let (mut name, mut mtu, mut mac) = (None, None, None);
    let (mut lower, mut elsewhere, mut vlan) = (None, false, None);
    let (mut master, mut kind) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Mtu(bytes) => mtu = Some(*bytes),
            LinkAttribute::Address(bytes) => mac = Mac::try_from(bytes.as_slice()).ok(),
            LinkAttribute::Link(index) => lower = Some(*index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::Controller(index) => master = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                vlan = infos.iter().find_map(vlan_tag);
                kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let lower = lower.filter(|_| !elsewhere);
    Some(Interface {
        name: name?,
        kind: kind.map(InfoKind::to_string).unwrap_or_default(),
        mac: mac.filter(|_| header.link_layer_type == LinkLayerType::Ether),
        ethernet: matches!(
            header.link_layer_type,
            LinkLayerType::Ether | LinkLayerType::Loopback
        ),
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::Running),
        discovery: if flags.contains(LinkFlags::Noarp) {
            Discovery::Own
        } else if flags.contains(LinkFlags::Pointopoint) {
            Discovery::Broadcast
        } else {
            Discovery::Solicited
        },
        mtu: mtu?,
        vlan: vlan.map(|(id, customer)| Vlan {
            lower,
            id,
            customer,
        }),
        // A veth device names its other end there.
        lower: lower.filter(|_| !matches!(kind, Some(InfoKind::Veth))),
        master,
    })
}

/// VLAN id, and true if the tag is 802.1Q's.
fn vlan_tag(info: &LinkInfo) -> Option<(u16, bool)> {
    let LinkInfo::Data(InfoData::Vlan(attributes)) = info else {
        return None;
    };
    let (mut id, mut protocol) = (None, VlanProtocol::Ieee8021Q);
    for attribute in attributes {
        match attribute {
            InfoVlan::Id(value) => id = Some(*value),
            InfoVlan::Protocol(value) => protocol = *value,
            _ => {}
        }
    }
    Some((id?, protocol == VlanProtocol::Ieee8021Q))
}

fn address(message: &AddressMessage) -> Option<Address> {
    let header = &message.header;
    let (mut local, mut other_end) = (None, None);
    let mut flags = flags_of_header(header.flags);
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point interface the two differ.
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => other_end = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    // The secondary bit means "not the first of its network" in IPv4 and "temporary" in IPv6.
    let unfit = AddressFlags::Dadfailed
        | AddressFlags::Deprecated
        | AddressFlags::Tentative
        | AddressFlags::Secondary;
    Some(Address {
        ip: local.or(other_end)?,
        global: matches!(header.scope, AddressScope::Universe | AddressScope::Site),
        preferred: !flags.intersects(unfit),
        host: header.prefix_len
            == if header.family == AddressFamily::Inet6 {
                128
            } else {
                32
            },
    })
}

fn flags_of_header(flags: AddressHeaderFlags) -> AddressFlags {
    AddressFlags::from_bits_retain(flags.bits().into())
}

fn neighbour_key(message: &NeighbourMessage) -> Option<NeighbourKey> {
    let header = &message.header;
    let ip = matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6);
    if !ip || header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    message.attributes.iter().find_map(|attribute| {
        let address = match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => (*address).into(),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => (*address).into(),
            _ => return None,
        };
        Some(NeighbourKey {
            interface: header.ifindex,
            address,
        })
    })
}

fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    use NeighbourState as State;
    let mac = || {
        message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                NeighbourAttribute::LinkLayerAddress(bytes) => Mac::try_from(bytes.as_slice()).ok(),
                _ => None,
            })
    };
    // Kept by a routing daemon, or by the kernel itself.
    let kept = message.header.flags.contains(NeighbourFlags::ExtLearned)
        || message.attributes.iter().any(|attribute| {
            matches!(attribute, NeighbourAttribute::ExtFlags(flags)
                if flags.contains(NeighbourExtFlags::Managed))
        });
    match message.header.state {
        State::Reachable | State::Stale | State::Delay | State::Probe => mac().map(if kept {
            Neighbour::Fixed
        } else {
            Neighbour::Known
        }),
        State::Noarp | State::Permanent => mac().map(Neighbour::Fixed),
        State::Incomplete => Some(Neighbour::Incomplete),
        State::Failed => Some(Neighbour::Failed),
        _ => None,
    }
}

fn prefix(message: &RouteMessage) -> Option<Prefix> {
    let any: IpAddr = match message.header.address_family {
        AddressFamily::Inet => [0; 4].into(),
        AddressFamily::Inet6 => [0; 16].into(),
        _ => return None,
    };
    let destination = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(address) => ip(address),
            _ => None,
        });
    let length = message.header.destination_prefix_length;
    Some(Prefix {
        address: destination.unwrap_or(any),
        length,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
