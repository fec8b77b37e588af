//! The decision about a next hop: from a route and the tables of interfaces, addresses and neighbours. No
//! clock, no socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lvs_common::abi::Mac;

use super::next_hop::{NextHop, Resolution};
use super::tables::{Discovery, Interface, Neighbour, NeighbourKey, Route, Tables};

/// The way out of packets.
struct Egress<'a> {
    /// Interface the route names.
    device: &'a Interface,
    /// Interface an XDP program would send by: the same, or the one below a VLAN device.
    lower: &'a Interface,
    /// Index of `lower`.
    index: u32,
    /// VLAN id, 0 for untagged.
    vlan: u16,
    /// Ethernet address of `device`; zero where there is no Ethernet header.
    mac: Mac,
    /// `lower` takes frames from an XDP program.
    xdp: bool,
}

impl Tables {
    /// Resolves `address`, to which `route` leads.
    pub(super) fn resolve(&self, address: IpAddr, route: &Route) -> Resolution {
        match route {
            Route::Local => Resolution::Local,
            Route::None(why) => Resolution::Unreachable(why.clone()),
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
                    .map_or_else(|none| none, Resolution::Resolved)
            }
        }
    }

    /// The neighbour that `route` needs and that the kernel has to find and keep.
    pub(super) fn required_neighbour(
        &self,
        address: IpAddr,
        route: &Route,
    ) -> Option<NeighbourKey> {
        let Route::Unicast {
            interface, gateway, ..
        } = route
        else {
            return None;
        };
        let egress = self.egress(*interface).ok()?;
        let device = egress.device;
        (device.ethernet && device.discovery == Discovery::Solicited).then(|| NeighbourKey {
            interface: *interface,
            address: gateway.unwrap_or(address),
        })
    }

    /// The name of the interface that frames leave by for an interface; none if it is no way out.
    pub(super) fn sending_interface(&self, interface: u32) -> Option<&str> {
        Some(&self.egress(interface).ok()?.lower.name)
    }

    /// `Err`: the reason why there is none, never [`Resolution::Resolved`].
    fn next_hop(
        &self,
        key: NeighbourKey,
        source: Option<IpAddr>,
        mtu: Option<u32>,
    ) -> Result<NextHop, Resolution> {
        let egress = self
            .egress(key.interface)
            .map_err(Resolution::Unreachable)?;
        let destination = self.destination(key, &egress)?;
        let mtu = mtu
            .unwrap_or(u32::MAX)
            .min(egress.device.mtu)
            .min(egress.lower.mtu);
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
            interface_name: egress.lower.name.clone(),
            device: key.interface,
            xdp: egress.xdp,
            ethernet: egress.device.ethernet,
            source4: self.best_source(key.interface, route4, ipv4),
            source6: self.best_source(key.interface, route6, ipv6),
        })
    }

    /// XDP cannot send by a VLAN device: what leaves there leaves by the interface below it, tagged. Where that
    /// is not all there is to it (two tags, another network namespace), the VLAN device itself is left to do it.
    fn egress(&self, interface: u32) -> Result<Egress<'_>, String> {
        let device = self.running(interface)?;
        let name = &device.name;
        if device.ethernet && device.mac.is_none() {
            return Err(format!("interface {name} carries no Ethernet frames"));
        }
        let below = device.plain_vlan();
        let (index, lower, vlan) = match below {
            Some((index, vlan)) => (index, self.running(index)?, vlan),
            None => (interface, device, 0),
        };
        let two_tags = lower.vlan.is_some();
        let (index, lower, vlan) = if two_tags {
            (interface, device, 0)
        } else {
            (index, lower, vlan)
        };
        Ok(Egress {
            device,
            lower,
            index,
            vlan,
            mac: device.mac.unwrap_or_default(),
            xdp: !two_tags && self.senders.contains(&index),
        })
    }

    fn running(&self, interface: u32) -> Result<&Interface, String> {
        match self.interfaces.get(&interface) {
            None => Err(format!("there is no interface number {interface}")),
            Some(found) if !found.up => Err(format!("interface {} is down", found.name)),
            Some(found) if !found.carrier => {
                Err(format!("interface {} has no carrier", found.name))
            }
            Some(found) => Ok(found),
        }
    }

    fn destination(&self, key: NeighbourKey, egress: &Egress<'_>) -> Result<Mac, Resolution> {
        let (name, address) = (&egress.device.name, key.address);
        if !egress.device.ethernet {
            return Ok(Mac::default());
        }
        match (self.neighbours.get(&key), egress.device.discovery) {
            // Also where nobody is solicited: the operator may have written the entry.
            (Some(Neighbour::Known(mac) | Neighbour::Fixed(mac)), _) => Ok(*mac),
            (_, Discovery::Own) => Ok(egress.mac),
            (_, Discovery::Broadcast) => Ok([0xff; 6]),
            (None | Some(Neighbour::Incomplete), Discovery::Solicited) => Err(
                Resolution::Unresolved(format!("waiting for {address} to answer on {name}")),
            ),
            (Some(Neighbour::Failed), Discovery::Solicited) => Err(Resolution::Unreachable(
                format!("{address} does not answer on {name}"),
            )),
            (Some(Neighbour::Refused(why)), Discovery::Solicited) => Err(Resolution::Unresolved(
                format!("the kernel does not ask for {address} on {name}: {why}"),
            )),
        }
    }

    /// The address that tunnelled packets come from: the one that the route names, but none of the interface's host
    /// addresses while it has another one. (The kernel names the address most like the server's, which may be a virtual
    /// one: the server has that itself, and refuses what comes from there.)
    fn best_source<A: Copy + Into<IpAddr>>(
        &self,
        interface: u32,
        route: Option<A>,
        family: fn(IpAddr) -> Option<A>,
    ) -> Option<A> {
        let chosen = route.or_else(|| self.source(interface, family))?;
        let own = self.addresses.get(&interface).into_iter().flatten();
        let is_host = own
            .clone()
            .any(|address| address.host && address.ip == chosen.into());
        let other = own
            .filter(|address| address.global && address.preferred && !address.host)
            .find_map(|address| family(address.ip));
        other.filter(|_| is_host).or(Some(chosen))
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
