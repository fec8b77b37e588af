//! The door of the probes' network namespace: a veth pair. What leaves by it a program picks up outside;
//! what comes in by it is for the probes, whatever address of the director's it is for.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use lvs_common::abi::Mac;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{LinkUnspec, LinkVeth};

use crate::kernel::ethtool::{self, Feature};
use crate::neighbour::netlink::Requests;

/// The interface inside.
const INSIDE: &str = "probes";
/// The one outside: the kernel puts a number in the place of `%d`.
const OUTSIDE: &str = "lvs-probes%d";

/// Whether an interface, by its name, is a door seen from outside: none that others send frames to.
pub fn is_door(interface: &str) -> bool {
    let number = interface.strip_prefix(OUTSIDE.trim_end_matches("%d"));
    number.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Answers may be as large as any.
const LARGEST: u32 = 65_535;
/// What probes send always fits, in a tunnel too: the smallest MTU of IPv6 (RFC 8200, section 5). It also
/// limits the segments that a server is told to send.
const MTU: u32 = 1_280;
/// Routing table of what comes in.
const TABLE: u8 = 100;
/// Number of the loopback interface in every namespace.
const LOOPBACK: u32 = 1;

/// A door that is open.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// Name of the interface outside.
    pub(super) name: String,
    /// Its index.
    pub(super) interface: u32,
    /// Ethernet address of the interface inside.
    pub(super) mac: Mac,
}

impl Door {
    /// Makes the pair, and the routes inside, for a thread that is in there. It is asked for by `inside`
    /// and `outside`, which belong to either namespace; `host` is the one outside.
    pub(super) async fn open(
        inside: &mut Requests,
        outside: &mut Requests,
        host: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        // An earlier attempt may have ended half-way: then there is one that leads nowhere.
        let inner = LinkUnspec::new_with_name(INSIDE).build();
        let left = RouteNetlinkMessage::DelLink(inner.clone());
        inside.change(left, 0).await.ok();
        inside.change(pair(host), NLM_F_CREATE | NLM_F_EXCL).await?;
        let inner = look(inside, inner).await?;
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
        let outer = look(outside, LinkUnspec::new_with_index(interface).build()).await?;
        let name = outer.attributes.into_iter().find_map(|found| match found {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
        let name = name.ok_or_else(|| io::Error::other("an interface without a name"))?;

        // A tunnel's packets cannot have their inner checksum completed by every card.
        ethtool::set(INSIDE, Feature::SentChecksums, false)?;
        // Without it a veth does not take frames that XDP redirects (veth.c: veth_xdp_xmit).
        ethtool::set(INSIDE, Feature::Merging, true)?;
        outside.change(up(interface), 0).await?;
        inside.change(up(LOOPBACK), 0).await?;
        inside.change(up(index), 0).await?;
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            for part in [way_out(family, index), way_in(family), rule(family)] {
                match inside.change(part, NLM_F_CREATE).await {
                    // From an earlier door.
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

async fn look(requests: &mut Requests, link: LinkMessage) -> io::Result<LinkMessage> {
    let request = vec![RouteNetlinkMessage::GetLink(link)];
    let answers = requests.send_all(request, 0).await;
    for answer in answers.map_err(io::Error::other)? {
        if let Some(RouteNetlinkMessage::NewLink(link)) = answer? {
            return Ok(link);
        }
    }
    Err(io::Error::other("the kernel does not tell of an interface"))
}

fn pair(host: BorrowedFd<'_>) -> RouteNetlinkMessage {
    let outer = LinkUnspec::new_with_name(OUTSIDE).mtu(LARGEST);
    let outer = outer.setns_by_fd(host.as_raw_fd()).build();
    let peer = InfoData::Veth(InfoVeth::Peer(outer));
    let inner = LinkVeth::new(INSIDE, OUTSIDE).mtu(LARGEST);
    RouteNetlinkMessage::NewLink(inner.set_info_data(peer).build())
}

/// Nobody is asked for on it: there is one other end, and a program behind it.
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

/// Everything leaves by the door.
fn way_out(family: AddressFamily, interface: u32) -> RouteNetlinkMessage {
    let mut route = route(family, interface);
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.kind = RouteType::Unicast;
    route.header.scope = RouteScope::Link;
    let metrics = RouteAttribute::Metrics(vec![RouteMetric::Mtu(MTU)]);
    route.attributes.push(metrics);
    RouteNetlinkMessage::NewRoute(route)
}

/// Everything that comes in is for this host.
fn way_in(family: AddressFamily) -> RouteNetlinkMessage {
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
