//! The veth pair between the probes' network namespace and the director's. A program outside sends on what
//! leaves by it; what comes in by it is for the probes, whatever address of the director's it is for.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use lvs_common::abi::{LOOPBACK, Mac};
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{LinkUnspec, LinkVeth};

use crate::kernel::ethtool::{self, Feature};
use crate::netlink::Requests;

/// Name of the interface inside.
const INSIDE: &str = "probes";
/// Name of the one outside: the kernel puts a number in the place of `%d`.
const OUTSIDE: &str = "lvs-probes%d";

/// True for the name of a probes' interface outside: none that others send frames to.
pub fn is_probe_veth(interface: &str) -> bool {
    let number = interface.strip_prefix(OUTSIDE.trim_end_matches("%d"));
    number.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// MTU of both interfaces in bytes: answers may be as large as any.
const LARGEST: u32 = 65_535;
/// MTU in bytes of the routes out, so that probes always fit, in a tunnel too: the smallest MTU of IPv6
/// (RFC 8200, section 5). It also limits the segments that a server sends (MSS).
const MTU: u32 = 1_280;
/// Routing table of what comes in.
const TABLE: u8 = 100;

/// A veth pair that is up.
#[derive(Clone, Debug)]
pub(super) struct Veth {
    /// Name of the interface outside.
    pub(super) name: String,
    /// Its index.
    pub(super) interface: u32,
    /// Ethernet address of the interface inside.
    pub(super) mac: Mac,
}

impl Veth {
    /// Creates the pair and the routes inside, for a thread that is in there. `inside` and `outside` are
    /// sockets in either namespace; `host` is the namespace outside.
    pub(super) async fn create(
        inside: &mut Requests,
        outside: &mut Requests,
        host: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        // An earlier attempt may have ended half-way: then there is one that leads nowhere.
        let inner = LinkUnspec::new_with_name(INSIDE).build();
        let left = RouteNetlinkMessage::DelLink(inner.clone());
        inside.change(left, 0).await.ok();
        inside.change(pair(host), NLM_F_CREATE | NLM_F_EXCL).await?;
        let inner = inside.interface(inner).await?;
        let index = inner.header.index;
        let (mut mac, mut interface) = (Mac::default(), 0);
        for attribute in &inner.attributes {
            match attribute {
                LinkAttribute::Address(address) => {
                    mac = address.as_slice().try_into().map_err(io::Error::other)?;
                }
                LinkAttribute::Link(peer) => interface = *peer,
                _ => {}
            }
        }
        let outer = outside
            .interface(LinkUnspec::new_with_index(interface).build())
            .await?;
        let name = outer.attributes.into_iter().find_map(|found| match found {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
        let name = name.ok_or_else(|| io::Error::other("an interface without a name"))?;

        // A tunnel's packets cannot have their inner checksum completed by every card.
        ethtool::set(INSIDE, Feature::TxChecksum, false)?;
        // Without it a veth does not take frames that XDP redirects (veth.c: veth_xdp_xmit).
        ethtool::set(INSIDE, Feature::Gro, true)?;
        outside.change(up(interface), 0).await?;
        inside.change(up(LOOPBACK), 0).await?;
        inside.change(up(index), 0).await?;
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            for part in [
                default_route(family, index),
                local_route(family),
                rule(family),
            ] {
                match inside.change(part, NLM_F_CREATE).await {
                    // From an earlier pair.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    // A kernel without IPv6 has no probes by it.
                    Err(_) if family == AddressFamily::Inet6 => {}
                    done => done?,
                }
            }
        }
        Ok(Self {
            name,
            interface,
            mac,
        })
    }
}

fn pair(host: BorrowedFd<'_>) -> RouteNetlinkMessage {
    let outer = LinkUnspec::new_with_name(OUTSIDE).mtu(LARGEST);
    let outer = outer.setns_by_fd(host.as_raw_fd()).build();
    let peer = InfoData::Veth(InfoVeth::Peer(outer));
    let inner = LinkVeth::new(INSIDE, OUTSIDE).mtu(LARGEST);
    RouteNetlinkMessage::NewLink(inner.set_info_data(peer).build())
}

/// No neighbour is solicited on it: there is one other end, and a program behind it.
fn up(index: u32) -> RouteNetlinkMessage {
    let link = LinkUnspec::new_with_index(index).up();
    let link = if index == LOOPBACK {
        link
    } else {
        link.arp(false)
    };
    RouteNetlinkMessage::SetLink(link.build())
}

fn route(family: AddressFamily, interface: u32) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = family;
    route.header.protocol = RouteProtocol::Static;
    route.attributes.push(RouteAttribute::Oif(interface));
    route
}

/// Everything leaves by the pair.
fn default_route(family: AddressFamily, interface: u32) -> RouteNetlinkMessage {
    let mut route = route(family, interface);
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.kind = RouteType::Unicast;
    route.header.scope = RouteScope::Link;
    let metrics = RouteAttribute::Metrics(vec![RouteMetric::Mtu(MTU)]);
    route.attributes.push(metrics);
    RouteNetlinkMessage::NewRoute(route)
}

/// Everything that comes in is for this host.
fn local_route(family: AddressFamily) -> RouteNetlinkMessage {
    let mut route = route(family, LOOPBACK);
    route.header.table = TABLE;
    route.header.kind = RouteType::Local;
    route.header.scope = RouteScope::Host;
    RouteNetlinkMessage::NewRoute(route)
}

fn rule(family: AddressFamily) -> RouteNetlinkMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = family;
    rule.header.table = TABLE;
    rule.header.action = RuleAction::ToTable;
    rule.attributes
        .push(RuleAttribute::Iifname(INSIDE.to_owned()));
    RouteNetlinkMessage::NewRule(rule)
}
