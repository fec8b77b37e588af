//! The interfaces by which packets of services come and go: those of a director whose operator named none.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{fs, io};

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;

use super::decode;
use super::lookup::{BATCH, Leads, look_up_interfaces};
use super::tables::{Interfaces, Tables};
use super::update::Update;
use crate::kernel;
use crate::netlink::{Error, Requests};

/// Addresses like those of clients: addresses for documentation (RFC 5737, RFC 3849), which are on
/// no network.
const CLIENTS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// All interfaces of the network namespace, for a thread that may wait for the kernel.
pub fn read_interfaces() -> io::Result<Interfaces> {
    let links = kernel::links()?;
    let update = |link| decode::update(&RouteNetlinkMessage::NewLink(link));
    let interface = |link| match update(link) {
        Some(Update::Interface(index, Some(state))) => Some((index, state)),
        _ => None,
    };
    Ok(links.into_iter().filter_map(interface).collect())
}

/// Interfaces, and the addresses that they were found for.
#[derive(Clone, Debug, Default)]
pub struct ServiceInterfaces {
    /// Names of the interfaces.
    pub names: BTreeSet<String>,
    /// Those of the addresses that the machine holds or that a route leads to.
    pub found: BTreeSet<IpAddr>,
}

/// The interfaces that hold these addresses (of virtual services and real servers) or lead to
/// them, and those of the default routes, by which clients come: of equal-cost routes those of all next hops.
///
/// An address that nothing leads to has none; an interface below a VLAN device stands for it. One below a macvlan device
/// that holds or leads to an IPv4 address is there, too, if it answers for that.
pub async fn service_interfaces(addresses: BTreeSet<IpAddr>) -> Result<ServiceInterfaces, Error> {
    let mut requests = Requests::open()?;
    let mut tables = Tables::default();
    let mut holders: HashMap<IpAddr, Vec<u32>> = HashMap::new();
    for table in [
        RouteNetlinkMessage::GetLink(LinkMessage::default()),
        RouteNetlinkMessage::GetAddress(AddressMessage::default()),
    ] {
        for message in requests.dump(table).await? {
            match decode::update(&message) {
                Some(Update::Interface(index, Some(state))) => {
                    drop(tables.interfaces.insert(index, state));
                }
                Some(Update::Address(index, address)) => {
                    holders.entry(address.ip).or_default().push(index);
                }
                _ => {}
            }
        }
    }
    let wanted: Vec<_> = addresses.iter().copied().chain(CLIENTS).collect();
    let mut services = ServiceInterfaces::default();
    for some in wanted.chunks(BATCH) {
        let leads = look_up_interfaces(&mut requests, some).await?;
        for (address, leads) in some.iter().zip(&leads) {
            let indices: &[u32] = match leads {
                Leads::Nothing => continue,
                Leads::Local => holders.get(address).map_or(&[], Vec::as_slice),
                Leads::Interfaces(indices) => indices,
            };
            let interfaces = &tables.interfaces;
            let names = indices
                .iter()
                .filter_map(|&index| tables.sending_interface(index));
            let below = indices
                .iter()
                .filter(|_| address.is_ipv4())
                .filter_map(|&index| answering_below(interfaces, index));
            for name in names.chain(below) {
                if !services.names.contains(name) {
                    services.names.insert(name.to_owned());
                }
            }
            if addresses.contains(address) {
                services.found.insert(*address);
            }
        }
    }
    Ok(services)
}

/// The interface below a macvlan device, where Linux answers ARP for the addresses of that, too, with the other Ethernet
/// address: packets come by whichever answer was the later one, and where reverse paths are not filtered strictly the
/// kernel takes both.
fn answering_below(interfaces: &Interfaces, index: u32) -> Option<&str> {
    let device = interfaces.get(&index)?;
    let below = interfaces.get(&device.lower?)?;
    let answers = device.kind == "macvlan"
        && below.can_send()
        && setting(&below.name, "arp_ignore") == 0
        && setting(&below.name, "rp_filter") != 1;
    answers.then_some(&*below.name)
}

/// A setting of an IPv4 interface that is in force: the larger one of its own and that of all (ip-sysctl).
fn setting(interface: &str, name: &str) -> u32 {
    let of = |interface: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{interface}/{name}"));
        text.unwrap_or_default().trim().parse().unwrap_or(0)
    };
    of(interface).max(of("all"))
}
