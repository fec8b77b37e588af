//! The steps on a packet's way, as sentences: read from what the packet path left in its working memory.

use std::net::{IpAddr, SocketAddr};

use lvs_api::model::ServiceId;
use lvs_api::why::{Way, WayStep};
use lvs_common::abi::{self, Hop, Mac, Member, Method, Pick, Plan};
use lvs_common::connection::table::{Store, Ways as _};
use lvs_common::connection::template::{ASSURED, GRACE, template};
use lvs_common::connection::{Key, Servers as _};
use lvs_common::forward::{Source, Work, find};
use lvs_common::ftp::server_port;
use lvs_common::network::Network;
use lvs_common::scheduler::{NO_SERVER, usable};
use lvs_common::tables::Tables as _;
use lvs_common::verdict::{Action, Reason, Verdict};

use super::packet::ClientPacket;
use super::rehearsal::Rehearsal;
use super::{Place, api_protocol};
use crate::address::{mac_text, narrow};
use crate::director::{api_method, service_of_key};
use crate::interface_name::interface_name;
use crate::scheduler::Scheduler;

/// Real servers that are named at most.
const NAMED: usize = 6;

/// A packet that has come to its end.
pub(super) struct Walked<'a, F: Network> {
    /// The tables before the packet.
    pub(super) tables: Rehearsal<'a>,
    pub(super) key: Key<F>,
    pub(super) packet: ClientPacket,
    pub(super) place: &'a Place,
    /// The XDP program finishes it; else the TC program.
    pub(super) xdp: bool,
    pub(super) next_hop: &'a dyn Fn(IpAddr) -> String,
    /// The configured services.
    pub(super) services: &'a [ServiceId],
    pub(super) work: &'a Work<F>,
    pub(super) verdict: Verdict,
}

/// The choice of a server.
struct Choice {
    text: String,
    /// The next connection of the client gets the same.
    determined: bool,
}

impl<'a, F: Network> Walked<'a, F>
where
    Rehearsal<'a>: Store<F>,
{
    /// The whole way.
    pub(super) fn way(&self) -> Way {
        let mut steps = Vec::new();
        let mut step = |name: &str, text: String| {
            steps.push(WayStep {
                name: name.to_owned(),
                text,
            });
        };
        step("interface", self.arrival());
        let mut determined = true;
        let reason = self.verdict.reason().unwrap_or(Reason::NotIp);
        let connection = self.connection();
        let known = connection.is_some();
        let looked = reason != Reason::NotOurs && reason != Reason::OtherHost;
        if looked {
            step("connection", connection.unwrap_or_else(|| self.none()));
        }
        let scheduled = self.tables.plan(self.work.service);
        let plan = scheduled.or_else(|| self.plan_of_connection());
        if let Some(plan) = scheduled
            && !(known && reason != Reason::Rescheduled)
        {
            step("service", service_text(plan));
            step("filter", self.filter(plan, reason));
            if self.has_server() || reason == Reason::NoServer {
                if plan.persistence != 0 {
                    step("persistence", self.persistence(plan).0);
                }
                let choice = self.choice(plan);
                determined = choice.determined;
                step("scheduler", choice.text);
            }
        } else if looked && !known {
            step("service", self.no_service());
        }
        if self.has_server() {
            for (name, text) in self.to_server() {
                step(name, text);
            }
        }
        step("way out", self.way_out());
        Way {
            client: self.packet.client,
            virtual_address: self.packet.to,
            packet: self.packet.kind().to_owned(),
            interface: self.place.interface.clone(),
            steps,
            verdict: reason.name().to_owned(),
            explanation: reason.explanation().to_owned(),
            service: plan.and_then(|plan| service_of_key(&plan.key)),
            server: self
                .has_server()
                .then(|| self.server(self.route().0))
                .flatten(),
            method: self.has_server().then(|| api_method(self.route().1 as u8)),
            determined,
        }
    }

    fn arrival(&self) -> String {
        let name = &self.place.interface;
        let program = match (self.xdp, self.place.xdp) {
            (true, _) => "handled in its driver (XDP)",
            (false, true) => "the program in its driver (XDP) leaves it to the one behind (TC)",
            (false, false) => "handled behind its driver (TC)",
        };
        format!("comes by {name}: {program}")
    }

    fn route(&self) -> (u32, Method) {
        let route = &self.work.forward.route;
        (route.server, route.method)
    }

    /// Returns whether the packet found a server.
    fn has_server(&self) -> bool {
        self.route().0 != NO_SERVER
    }

    fn server(&self, index: u32) -> Option<SocketAddr> {
        let server = self.tables.server(index)?;
        let port = self.packet.to.port().into();
        let port = match self.tables.plan(server.service) {
            Some(plan) => server_port(&plan.key, server.port, port).get(),
            None => server.port.get(),
        };
        Some(SocketAddr::new(
            narrow(&server.address, server.family),
            port,
        ))
    }

    fn server_text(&self, index: u32) -> String {
        let server = self.server(index);
        server.map_or_else(|| "a deleted real server".to_owned(), |it| it.to_string())
    }

    /// The connection that the packet belongs to.
    fn connection(&self) -> Option<String> {
        let now = self.tables.now();
        let found = find::<F, _>(self.tables, &self.key, now)?;
        let (set, way) = (found.slot.set, found.slot.way);
        let state = self.packet.protocol.state_name(found.slot.tag.state());
        let left = set
            .timeout(way)
            .saturating_sub(abi::age(now, set.seen(way)));
        let server = self.server_text(self.tables.server_of(&found.record));
        let method = method_text(Method::from_raw(found.record.method));
        Some(format!(
            "known: {state} with {server}{method}, {} packets of the client, expires in {}",
            set.packets(way),
            seconds(left)
        ))
    }

    fn plan_of_connection(&self) -> Option<&'a Plan> {
        let found = find::<F, _>(self.tables, &self.key, self.tables.now())?;
        self.tables.plan(self.tables.service_of(&found.record))
    }

    fn none(&self) -> String {
        format!(
            "none is known from {} to {}: a {} begins one",
            self.packet.client,
            self.packet.to,
            self.packet.kind()
        )
    }

    fn no_service(&self) -> String {
        let ClientPacket { to, protocol, .. } = self.packet;
        let others: Vec<_> = self
            .services
            .iter()
            .filter(|service| match service {
                ServiceId::Address { address, .. } => address.ip() == to.ip(),
                ServiceId::Mark { .. } => false,
            })
            .map(ToString::to_string)
            .collect();
        let there = if others.is_empty() {
            "no virtual service has this address".to_owned()
        } else {
            format!("there are {}", others.join(", "))
        };
        let name = api_protocol(protocol).name().to_lowercase();
        format!("none for {name} {to}; {there}")
    }

    fn filter(&self, plan: &Plan, reason: Reason) -> String {
        let refused = matches!(
            reason,
            Reason::Denied | Reason::ClientOpening | Reason::ClientOpen | Reason::ClientSending
        );
        let source = matches!(
            reason,
            Reason::Martian
                | Reason::OwnSource
                | Reason::RpFilter
                | Reason::BadChecksum
                | Reason::BadOptions
        );
        if source {
            format!("not asked: {}", reason.explanation())
        } else if plan.filter == 0 {
            "none: every client may begin connections".to_owned()
        } else if refused {
            format!(
                "refuses {}: {}",
                self.packet.client.ip(),
                reason.explanation()
            )
        } else {
            format!("admits {}", self.packet.client.ip())
        }
    }

    /// The template of the client, and whether it decides.
    fn persistence(&self, plan: &Plan) -> (String, bool) {
        if plan.is_by_call_id() {
            let time = seconds(abi::ticks(plan.persistence));
            let text = format!(
                "messages with the same Call-ID stay together for {time}: this one begins a call"
            );
            return (text, false);
        }
        let key = template::<F>(self.key.source, &plan.key, plan.prefix);
        let now = self.tables.now().wrapping_sub(GRACE);
        let network = narrow(&F::widen(key.source), F::NUMBER);
        let whose = format!("clients of {network}/{} stay together", plan.prefix);
        match find::<F, _>(self.tables, &key, now) {
            Some(found) => {
                let index = self.tables.server_of(&found.record);
                let assured = if found.slot.tag.state() == ASSURED {
                    ""
                } else {
                    ", of whose connections none was established yet"
                };
                let server = self.server_text(index);
                let decides = index == self.route().0;
                let text = if decides {
                    format!("{whose}: a template leads to {server}{assured}")
                } else {
                    format!("{whose}: the template to {server} leads there no more")
                };
                (text, decides)
            }
            None => (
                format!(
                    "{whose} for {}: no template yet, this connection makes one",
                    seconds(abi::ticks(plan.persistence))
                ),
                false,
            ),
        }
    }

    /// The scheduler's choice.
    fn choice(&self, plan: &Plan) -> Choice {
        let (index, _) = self.route();
        let name = scheduler_name(plan.scheduler());
        if plan.persistence != 0 && self.persistence(plan).1 {
            return Choice {
                text: format!("{name} is not asked: the template decides"),
                determined: true,
            };
        }
        let members: Vec<&Member> = (0..plan.member_count)
            .filter_map(|number| self.tables.member(plan.members.wrapping_add(number)))
            .collect();
        let (able, unable): (Vec<_>, Vec<_>) = members
            .iter()
            .copied()
            .partition(|member| usable(self.tables, member));
        if index == NO_SERVER {
            return Choice {
                text: format!("{name} finds no real server: {}", self.unable(&members)),
                determined: true,
            };
        }
        let server = self.server_text(index);
        let pick = Pick::from_raw(plan.pick);
        let ground = match pick {
            _ if members.len() == 1 => Some(", the only real server of the service".to_owned()),
            Pick::SourceHash | Pick::Maglev if plan.flags & Plan::FLAG_2 != 0 => {
                Some(", by the client's address and port".to_owned())
            }
            Pick::SourceHash | Pick::Maglev => Some(", by the client's address".to_owned()),
            Pick::DestinationHash => Some(", by the virtual address".to_owned()),
            Pick::Failover => Some(", by the weights".to_owned()),
            _ if able.len() == 1 => Some(format!(": {}", self.unable(&unable))),
            _ => None,
        };
        let text = match &ground {
            Some(ground) => format!("{name} chooses {server}{ground}"),
            None => format!(
                "{name} would choose among {}: now {server}",
                self.listed(&able)
            ),
        };
        Choice {
            text,
            determined: ground.is_some(),
        }
    }

    fn unable(&self, members: &[&Member]) -> String {
        if members.is_empty() {
            return "the service has none".to_owned();
        }
        let reasons = members.iter().take(NAMED).map(|member| {
            let server = self.server_text(member.server);
            if member.weight == 0 {
                format!("{server} has weight 0")
            } else {
                format!(
                    "{server} is at its upper threshold of {} connections",
                    member.upper
                )
            }
        });
        with_rest(&reasons.collect::<Vec<_>>(), members.len())
    }

    fn listed(&self, members: &[&Member]) -> String {
        let texts = members.iter().take(NAMED).map(|member| {
            let load = self.tables.load(member.server);
            format!(
                "{} (weight {}, {} active, {} inactive)",
                self.server_text(member.server),
                member.weight,
                load.active(),
                load.inactive()
            )
        });
        with_rest(&texts.collect::<Vec<_>>(), members.len())
    }

    /// The steps from the server's choice on.
    fn to_server(&self) -> Vec<(&'static str, String)> {
        let (index, method) = self.route();
        let mut steps = Vec::new();
        let Some(server) = self.tables.server(index) else {
            return steps;
        };
        let forward = &self.work.forward;
        if method == Method::Nat && forward.route.source == Source::Known {
            let rewrite = &forward.rewrite;
            let address = narrow(&F::widen(rewrite.source), F::NUMBER);
            let source = SocketAddr::new(address, rewrite.ports.source.get());
            steps.push((
                "source",
                format!("the real server sees {source} as its client"),
            ));
        }
        let address = narrow(&server.address, server.family);
        let hop = self.tables.hop(server.hop).filter(|_| server.hop != 0);
        let text = (self.next_hop)(address);
        steps.push((
            "next hop",
            match hop {
                _ if method == Method::Local => "the director itself is the real server".to_owned(),
                None => format!("of {address} is not known: {text}"),
                Some(hop) if hop.flags & Hop::UNREACHABLE != 0 => {
                    format!("{address} cannot be reached: {text}")
                }
                Some(hop) => format!(
                    "{address} by {}{}, MTU {}",
                    interface_text(if self.xdp { hop.interface } else { hop.device }),
                    to_mac(hop.ethernet.destination()),
                    hop.mtu
                ),
            },
        ));
        steps.push(("replies", self.replies(method)));
        steps
    }

    fn replies(&self, method: Method) -> String {
        let client = self.packet.client.ip();
        match method {
            Method::Direct | Method::Tunnel => {
                format!("the real server sends them to {client} itself, not by the director")
            }
            Method::Local => format!("this host's own network stack sends them to {client}"),
            Method::Nat => {
                let way = if self.packet.begins {
                    self.work.way
                } else {
                    let found = find::<F, _>(self.tables, &self.key, self.tables.now());
                    found.map_or(self.work.way, |found| found.slot.set.client(found.slot.way))
                };
                if way.interface == 0 {
                    format!(
                        "no Ethernet address of {client} or its router is known yet: lvsd asks for it"
                    )
                } else {
                    format!(
                        "go to {client} by {}{}",
                        interface_text(way.index()),
                        to_mac(way.ethernet.destination())
                    )
                }
            }
        }
    }

    fn way_out(&self) -> String {
        let program = if self.xdp { "XDP" } else { "TC" };
        match self.verdict.action() {
            Action::Pass => "handed to this host's own network stack".to_owned(),
            Action::Drop => "none: dropped".to_owned(),
            Action::Transmit => {
                format!(
                    "sent by {}, by which it came ({program})",
                    self.place.interface
                )
            }
            Action::Redirect { interface } => {
                format!("sent by {} ({program})", interface_text(interface))
            }
            Action::Neighbour { interface } => format!(
                "sent by {} once the neighbour's Ethernet address is known ({program})",
                interface_text(interface)
            ),
        }
    }
}

fn service_text(plan: &Plan) -> String {
    let name = service_of_key(&plan.key).map_or_else(String::new, |id| id.to_string());
    let marked = if plan.key.protocol == abi::ServiceKey::MARK {
        ", by the mark that the rules give the packet"
    } else if plan.key.port.get() == 0 {
        ", which takes every port that has no service of its own"
    } else {
        ""
    };
    let scheduler = scheduler_name(plan.scheduler());
    let servers = match plan.member_count {
        0 => "no real server".to_owned(),
        1 => "1 real server".to_owned(),
        several => format!("{several} real servers"),
    };
    format!("{name}{marked}: {scheduler}, {servers}")
}

fn scheduler_name(number: u8) -> &'static str {
    Scheduler::from_number(number)
        .unwrap_or(Scheduler::None)
        .name()
}

const fn method_text(method: Method) -> &'static str {
    match method {
        Method::Nat => " by NAT",
        Method::Direct => " by direct routing",
        Method::Tunnel => " by a tunnel",
        Method::Local => ", the director itself",
    }
}

fn with_rest(texts: &[String], all: usize) -> String {
    let rest = match all - texts.len() {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    texts.join(", ") + &rest
}

fn interface_text(index: u32) -> String {
    interface_name(index).unwrap_or_else(|| format!("interface {index}, which is gone"))
}

/// An Ethernet address; nothing where there is none.
fn to_mac(mac: Mac) -> String {
    mac_text(mac).map_or_else(String::new, |mac| format!(" to {mac}"))
}

fn seconds(ticks: u32) -> String {
    format!("{} s", abi::seconds(ticks))
}
