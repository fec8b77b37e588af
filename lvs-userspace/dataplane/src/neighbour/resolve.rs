//! The decision: from a route and what is known about links, addresses and neighbours to a next
//! hop. No clock, no socket.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lvs_common::abi::Mac;

use super::facts::{Address, Discovery, Link, Neighbour, NeighbourKey, Route};
use super::{NextHop, Resolution};

/// The kernel's tables as far as they are known, but for the routes: those are asked for one
/// address at a time, because only the kernel knows what its rules, tables and multipath choose.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Interfaces by index.
    pub(super) links: BTreeMap<u32, Link>,
    /// Addresses by interface index, in the kernel's order.
    pub(super) addresses: BTreeMap<u32, Vec<Address>>,
    /// Neighbours.
    pub(super) neighbours: HashMap<NeighbourKey, Neighbour>,
}

/// Where frames leave.
struct Egress<'a> {
    /// Interface the route names.
    device: &'a Link,
    /// Interface the frames leave by: the same, or the one under a VLAN device.
    port: &'a Link,
    /// Index of `port`.
    index: u32,
    /// VLAN id, 0 for untagged.
    vlan: u16,
    /// Ethernet address of `device`.
    mac: Mac,
}

impl Tables {
    /// How packets reach `address`, to which `route` leads.
    pub(super) fn resolve(&self, address: IpAddr, route: &Route) -> Resolution {
        match route {
            Route::Local => Resolution::Local,
            Route::None(why) => Resolution::Unresolved(why.clone()),
            Route::Unicast {
                interface,
                gateway,
                source,
                mtu,
            } => {
                let key = NeighbourKey {
                    interface: *interface,
                    address: gateway.unwrap_or(address),
                };
                self.next_hop(key, *source, *mtu)
                    .map_or_else(Resolution::Unresolved, Resolution::Resolved)
            }
        }
    }

    /// The neighbour that `route` needs and that the kernel has to be asked to find and keep.
    pub(super) fn wanted(&self, address: IpAddr, route: &Route) -> Option<NeighbourKey> {
        let Route::Unicast {
            interface, gateway, ..
        } = route
        else {
            return None;
        };
        let egress = self.egress(*interface).ok()?;
        (egress.device.discovery == Discovery::Asked).then(|| NeighbourKey {
            interface: *interface,
            address: gateway.unwrap_or(address),
        })
    }

    /// The name of the interface that frames leave by for an interface; none if it carries no Ethernet
    /// frames, or does not run.
    pub(super) fn port(&self, interface: u32) -> Option<&str> {
        Some(&self.egress(interface).ok()?.port.name)
    }

    fn next_hop(
        &self,
        key: NeighbourKey,
        source: Option<IpAddr>,
        mtu: Option<u32>,
    ) -> Result<NextHop, String> {
        let egress = self.egress(key.interface)?;
        let destination = self.destination(key, &egress)?;
        let mtu = mtu
            .unwrap_or(u32::MAX)
            .min(egress.device.mtu)
            .min(egress.port.mtu);
        let (route4, route6) = match source {
            Some(IpAddr::V4(source)) => (Some(source), None),
            Some(IpAddr::V6(source)) => (None, Some(source)),
            None => (None, None),
        };
        Ok(NextHop {
            destination,
            source: egress.mac,
            vlan: egress.vlan,
            mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
            interface: egress.index,
            interface_name: egress.port.name.clone(),
            source4: route4.or_else(|| self.source(key.interface, ipv4)),
            source6: route6.or_else(|| self.source(key.interface, ipv6)),
        })
    }

    /// XDP cannot send by a VLAN device: what leaves there leaves by the interface under it, tagged.
    fn egress(&self, interface: u32) -> Result<Egress<'_>, String> {
        let device = self.running(interface)?;
        let name = &device.name;
        let Some(mac) = device.mac else {
            return Err(format!("interface {name} carries no Ethernet frames"));
        };
        let Some(vlan) = device.vlan else {
            return Ok(Egress {
                device,
                port: device,
                index: interface,
                vlan: 0,
                mac,
            });
        };
        if !vlan.customer {
            return Err(format!(
                "VLAN device {name} has 802.1ad tags, only 802.1Q is supported"
            ));
        }
        let Some(lower) = vlan.lower else {
            return Err(format!(
                "VLAN device {name} lies on one of another network namespace"
            ));
        };
        let port = self.running(lower)?;
        if port.vlan.is_some() {
            let lower = &port.name;
            return Err(format!(
                "VLAN device {name} lies on {lower}, a VLAN device itself"
            ));
        }
        Ok(Egress {
            device,
            port,
            index: lower,
            vlan: vlan.id,
            mac,
        })
    }

    fn running(&self, interface: u32) -> Result<&Link, String> {
        match self.links.get(&interface) {
            None => Err(format!("there is no interface number {interface}")),
            Some(link) if !link.up => Err(format!("interface {} is down", link.name)),
            Some(link) if !link.carrier => Err(format!("interface {} has no carrier", link.name)),
            Some(link) => Ok(link),
        }
    }

    fn destination(&self, key: NeighbourKey, egress: &Egress<'_>) -> Result<Mac, String> {
        let (name, address) = (&egress.device.name, key.address);
        match (self.neighbours.get(&key), egress.device.discovery) {
            // Also where nobody is asked: the operator may have written the entry.
            (Some(Neighbour::Known(mac) | Neighbour::Fixed(mac)), _) => Ok(*mac),
            (_, Discovery::Own) => Ok(egress.mac),
            (_, Discovery::Broadcast) => Ok([0xff; 6]),
            (None | Some(Neighbour::Asked), Discovery::Asked) => {
                Err(format!("waiting for {address} to answer on {name}"))
            }
            (Some(Neighbour::Silent), Discovery::Asked) => {
                Err(format!("{address} does not answer on {name}"))
            }
            (Some(Neighbour::Refused(why)), Discovery::Asked) => Err(format!(
                "the kernel does not ask for {address} on {name}: {why}"
            )),
        }
    }

    /// The address Linux would send from where the route names none: one of the interface's own,
    /// else of another (routers carry theirs on the loopback interface).
    fn source<A>(&self, interface: u32, family: fn(IpAddr) -> Option<A>) -> Option<A> {
        let others = self
            .addresses
            .iter()
            .filter(|&(&index, _)| index != interface);
        let own = self.addresses.get(&interface).into_iter();
        own.chain(others.map(|(_, addresses)| addresses))
            .flatten()
            .filter(|address| address.global && address.preferred)
            .find_map(|address| family(address.ip))
    }
}

fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

#[cfg(test)]
mod tests;
