//! The story of a packet, from its first byte to its verdict.

pub mod announce;
mod arrive;
mod enter;
mod find;
mod newcomer;
mod ordinary;
mod orphan;
mod repeated;
mod reply;
mod stateless;
mod transport;

use crate::abi::Method;
use crate::connection::table::{Inserted, New, Store};
use crate::connection::{Key, Record};
use crate::family::{Family, V4, V6};
use crate::link::{self, Egress};
use crate::network::{Datagram, Network, Trouble};
use crate::packet::Packet;
use crate::schedule::{NOBODY, Search};
use crate::tables::Tables;
use crate::transmit::{Forward, Route, to_client, to_server};
use crate::verdict::{Reason, Verdict};
use crate::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet};
use crate::{answer, persistence, probe, relate, reset};
use ordinary::{Outcome, first};

pub use arrive::concerns;
pub use find::{Connection, client, find};

/// What is known about a packet while it is handled. It outlives no packet; it lies outside the stack
/// because a BPF program's is 512 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Work<F: Family> {
    /// The packet.
    pub forward: Forward<F>,
    /// What is looked up or inserted.
    pub key: Key<F>,
    /// An entry to be.
    pub new: New<F>,
    /// The entry for the replies of a new NAT connection.
    pub reply: Inserted,
    /// How the service of a new connection groups clients, see [`Record::persistence`].
    pub persistence: u8,
    /// The search for the server of a new connection: not the one that did not serve it before.
    pub search: Search,
    /// Number of the packet's connection in the table, plus one, for [`find::again`].
    pub number: u32,
    /// The packet is scheduled for itself alone: it gets no entry.
    pub alone: bool,
    /// The packet established a connection of a persistent service: [`Work::key`] is the connection's,
    /// and [`Work::new`] has its record.
    pub established: bool,
    /// What another director may have to hear of.
    pub news: announce::News,
    /// Where a reply's client is.
    pub client: Egress,
    /// The end of it.
    pub verdict: Verdict,
    /// The packet inside an ICMP error.
    pub inner: Datagram<F>,
}

/// Room for the packet at hand, of either family. Whatever is read from it was written for the same
/// packet.
#[derive(Clone, Copy, Debug)]
pub struct Workspace {
    /// An IPv4 packet.
    pub v4: Work<V4>,
    /// An IPv6 packet.
    pub v6: Work<V6>,
}

/// Decides what becomes of a frame, and makes it so. `workspace` lends the room where packets are worked
/// on that are not [`ordinary`]; without it there is no verdict.
#[inline(always)]
pub fn forward<'a, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    workspace: impl FnOnce() -> Option<&'a mut Workspace>,
) -> Option<Verdict> {
    let ethertype = packet
        .header::<Ethernet>(0)
        .map_or(0, |header| header.ethertype.get());
    let outcome = match ethertype {
        ETHERTYPE_IPV4 => ordinary::known::<V4, P, T>(packet, tables),
        ETHERTYPE_IPV6 => ordinary::known::<V6, P, T>(packet, tables),
        _ => Outcome::OTHER,
    };
    if let Some(verdict) = outcome.verdict() {
        return Some(verdict);
    }
    let workspace = workspace()?;
    let first = match ethertype {
        _ if outcome != Outcome::FIRST => None,
        ETHERTYPE_IPV4 => first::forward(packet, tables, &mut workspace.v4.new),
        _ => first::forward(packet, tables, &mut workspace.v6.new),
    };
    if first.is_some() {
        return first;
    }
    Some(stages(packet, tables, workspace))
}

/// The long way, for every packet.
#[inline(always)]
pub fn stages<P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    workspace: &mut Workspace,
) -> Verdict {
    let Workspace { v4, v6 } = workspace;
    let link = &mut v4.forward.link;
    if let Err(reason) = link::parse(packet, link) {
        return Verdict::drop(reason);
    }
    let config = tables.config();
    if config.is_some_and(|config| !link::is_own(config, &link.destination)) {
        return Verdict::pass(Reason::OtherHost);
    }
    match link.ethertype {
        ETHERTYPE_IPV4 => internet(packet, tables, v4),
        ETHERTYPE_IPV6 => {
            v6.forward.link = *link;
            internet(packet, tables, v6)
        }
        _ => Verdict::pass(Reason::NotIp),
    }
}

/// The stages of a packet, one after the other: none keeps the stack of the one before.
#[inline(always)]
fn internet<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
) -> Verdict {
    let mut stage = arrive::arrive(packet, tables, work);
    if stage == Stage::Icmp {
        stage = relate::relate(packet, tables, work);
    }
    if stage == Stage::Repeated {
        stage = repeated::repeated(tables, work);
    }
    if stage == Stage::Orphan {
        stage = orphan::orphan(tables, work);
    }
    if stage == Stage::Unknown {
        stage = newcomer::schedule(tables, work);
    }
    if stage == Stage::Persistent {
        stage = persistence::recall(tables, work);
    }
    if stage == Stage::Stranger {
        stage = newcomer::place_stranger(tables, work);
    }
    if stage == Stage::Newcomer {
        stage = persistence::establish(tables, work);
    }
    if stage == Stage::Picked {
        stage = enter::enter(tables, work);
    }
    if stage == Stage::Crowded {
        stage = stateless::crowded(tables, work);
    }
    let replied = stage == Stage::Reply && reply::reply(tables, work);
    if work.established {
        persistence::assure(tables, work);
    }
    if work.news.is_some() {
        announce::announce(tables, work);
    }
    match stage {
        Stage::To => to_server(packet, tables, &mut work.forward),
        Stage::Reply if replied => to_client(packet, tables, &mut work.forward, &work.client),
        Stage::Unreachable => {
            answer::send(packet, tables, &work.forward, Trouble::PortUnreachable, 0)
        }
        Stage::Reset => reset::send(packet, &work.forward),
        Stage::Reply | Stage::Unclaimed => probe::answer(packet, tables, work),
        Stage::Ended => work.verdict,
        Stage::Icmp
        | Stage::Repeated
        | Stage::Orphan
        | Stage::Unknown
        | Stage::Persistent
        | Stage::Stranger
        | Stage::Newcomer
        | Stage::Picked
        | Stage::Crowded => Verdict::pass(Reason::NoConnection),
    }
}

/// How far a packet has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is ICMP: see whether it is an error about a connection.
    Icmp,
    /// A SYN of a connection that waits for the answer to one.
    Repeated,
    /// Of a connection whose server is deleted or down.
    Orphan,
    /// To a virtual address, of no known connection: schedule it.
    Unknown,
    /// For a persistent service: `new` holds the key of its client's template.
    Persistent,
    /// A persistent service's client has no template: pick a server.
    Stranger,
    /// The first connection of a client of a persistent service: the next ones go where this one does.
    Newcomer,
    /// The server of a new connection is known: enter it into the table.
    Picked,
    /// The connection table has no entry for it: forward it by its hash alone, if possible.
    Crowded,
    /// From a real server perhaps: find the connection it replies to. If there is none, it is
    /// [`Stage::Unclaimed`].
    Reply,
    /// Of no connection, but perhaps the answer to a probe: [`Work::key`] tells. If it is not,
    /// [`Work::verdict`] is the end of it.
    Unclaimed,
    /// There is a service but no server: tell the client.
    Unreachable,
    /// Its server is down and it belongs to nobody else: reset the client.
    Reset,
    /// Forward it by its route.
    To,
    /// [`Work::verdict`] is the end of it.
    Ended,
}

impl<F: Family> Work<F> {
    /// The end of a packet.
    #[inline(always)]
    pub fn end(&mut self, verdict: Verdict) -> Stage {
        self.verdict = verdict;
        Stage::Ended
    }

    /// To be scheduled, to another server than `avoid` if there is one.
    #[inline(always)]
    pub const fn unknown(&mut self, avoid: u32) -> Stage {
        self.search = Search::new(avoid);
        Stage::Unknown
    }

    /// Sends the packet of a new connection to a server.
    #[inline(always)]
    pub fn send_to(&mut self, server: u32, method: Method) {
        self.forward.route = Route::new(server, method);
        let avoid = self.search.avoid;
        if avoid != NOBODY && avoid != server {
            self.forward.route.reason = Reason::Rescheduled;
        }
    }

    /// What an entry of the new connection says about its server.
    #[inline(always)]
    pub fn record<T: Tables>(&self, tables: T) -> Record {
        let Route { server, method, .. } = self.forward.route;
        let service = tables.server(server).map_or(0, |server| server.service);
        Record {
            persistence: self.persistence,
            ..Record::new(server, service, method)
        }
    }

    /// Counts the packet, and the connection that it starts if it does, for the server it goes to. A
    /// server that gets a connection back was counted to have it before.
    #[inline(never)]
    fn count<T: Tables>(&self, tables: T, new: bool) {
        let server = self.forward.route.server;
        let new = new && self.search.avoid != server;
        let service = tables.server(server).map_or(0, |server| server.service);
        tables.count_in(service, server, self.forward.datagram.length(), new);
    }
}

/// A value on the stack where words may be stored whole: a BPF program's stack has to be accessed
/// aligned.
#[repr(C, align(8))]
pub(crate) struct Aligned<T>(pub(crate) T);
