//! Clients on the director itself: their sockets are connected to a real server, not to the virtual address.
//!
//! Their packets never come by an interface, so the packet path does not see them. Instead, hooks of the kernel ask
//! about the address that a socket connects or sends to. Where that is a virtual service, they replace it by a real
//! server's, once, before the first packet: from then on the kernel and the server speak directly, whatever the
//! forwarding method. Where the socket asks who is at the other end, the address is replaced back.
//!
//! The client's address is not known yet at that moment: all clients on the director are one client to persistence
//! and to schedulers that hash the source (0). They are in no connection table, so that schedulers that count
//! connections would give all of them to one server: for those the server is drawn by weight.

use crate::abi::{LocalFlow, LocalKey, Pick, Plan, Server, ServiceKey, age, ticks};
use crate::aligned::Aligned;
use crate::connection::{Protocol, udp};
use crate::forward::address_service;
use crate::scheduler::{self, Flow, NO_SERVER, Search, usable};
use crate::tables::Tables;
use crate::walk::Step;
use crate::wire::protocol;

/// The tables of local clients.
pub trait LocalTables: Tables {
    /// The real server that was picked for a key.
    fn local_flow(self, key: &LocalKey) -> Option<LocalFlow>;
    /// Remembers it.
    fn set_local_flow(self, key: &LocalKey, flow: &LocalFlow);
    /// The virtual service in whose place a socket has a real server.
    fn local_peer(self, key: &LocalKey) -> Option<ServiceKey>;
    /// Remembers it.
    fn set_local_peer(self, key: &LocalKey, service: &ServiceKey);
    /// Runs a search for a server. `None`: there is no memory for it at the moment.
    fn with_search<R>(self, search: impl FnOnce(&mut LocalSearch) -> R) -> Option<R>;
    /// Counts a connection to a server of a service.
    fn count_local(self, service: u32, server: u32);
    /// A random number.
    fn random(self) -> u32;
}

/// The decision about the address that a socket connects or sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// It is no virtual service's, or that has a server that the socket cannot reach: it stays.
    Unchanged,
    /// It is a virtual service's without a server to use.
    NoServer,
    /// It is replaced.
    Server(ServiceKey),
}

/// Destination of a socket that connects.
#[inline(always)]
pub fn connect<T: LocalTables>(tables: T, socket: u64, to: &ServiceKey) -> Destination {
    destination(tables, socket, to, false)
}

/// Destination of a datagram of a socket that is not connected: the same server as before, as long as it was used
/// within the timeout of UDP.
#[inline(always)]
pub fn send<T: LocalTables>(tables: T, socket: u64, to: &ServiceKey) -> Destination {
    destination(tables, socket, to, true)
}

/// The virtual service that a socket was connected to or sent to, if this is the server that it got.
#[inline(always)]
pub fn peer<T: LocalTables>(tables: T, socket: u64, from: &ServiceKey) -> Option<ServiceKey> {
    tables.local_peer(&key(socket, from))
}

#[inline(always)]
const fn key(socket: u64, peer: &ServiceKey) -> LocalKey {
    LocalKey {
        socket,
        peer: *peer,
        padding: 0,
    }
}

#[inline(always)]
fn destination<T: LocalTables>(
    tables: T,
    socket: u64,
    to: &ServiceKey,
    datagram: bool,
) -> Destination {
    let mut wanted = Aligned(*to);
    let Some(plan) = tables
        .config()
        .and_then(|config| tables.plan(address_service(tables, config, &mut wanted)))
    else {
        return Destination::Unchanged;
    };
    let ftp_data = plan.key.port != to.port && plan.key.port.get() != 0;
    let one_packet = plan.flags & Plan::ONE_PACKET != 0 && to.protocol == protocol::UDP;
    let keeps = plan.persistence != 0 || datagram && !one_packet;
    let (flow, timeout) = if plan.persistence != 0 {
        (key(0, &plan.key), ticks(plan.persistence))
    } else {
        (key(socket, to), udp_timeout(tables, plan))
    };
    let now = tables.now();
    let known = if keeps {
        tables.local_flow(&flow)
    } else {
        None
    };
    let known = known.filter(|known| age(now, known.seen) <= timeout && still(tables, plan, known));
    let index = if let Some(known) = known {
        known.server
    } else if let Some(index) = pick(tables, plan, to) {
        index
    } else if ftp_data {
        // It was only perhaps FTP's.
        return Destination::Unchanged;
    } else {
        return Destination::NoServer;
    };
    let Some(server) = tables.server(index) else {
        return Destination::NoServer;
    };
    if server.family != to.family {
        return Destination::Unchanged;
    }
    let mut real = Aligned(*to);
    real.0.address = server.address;
    if server.port.get() != 0 && !ftp_data {
        real.0.port = server.port;
    }
    if keeps {
        let flow_now = LocalFlow {
            server: index,
            seen: now,
        };
        tables.set_local_flow(&flow, &flow_now);
    }
    // A datagram is counted with the first one of its socket, as the packet path does.
    if known.is_none() || !datagram {
        tables.count_local(plan.service, index);
    }
    if real.0 == *to {
        return Destination::Unchanged;
    }
    tables.set_local_peer(&key(socket, &real.0), to);
    Destination::Server(real.0)
}

/// Returns whether a server that was picked before is still one of the service: a quiesced one keeps its clients.
#[inline(always)]
fn still<T: Tables>(tables: T, plan: &Plan, flow: &LocalFlow) -> bool {
    tables
        .server(flow.server)
        // A free index has no family, and would be of service 0.
        .is_some_and(|server| {
            server.family != 0 && server.flags & Server::GONE == 0 && server.service == plan.service
        })
}

/// Ticks for which a socket's datagrams go to the same server.
#[inline(always)]
fn udp_timeout<T: Tables>(tables: T, plan: &Plan) -> u32 {
    let own = plan.timeout(Protocol::Udp, udp::NORMAL);
    if own == 0 {
        tables.timeout(Protocol::Udp, udp::NORMAL)
    } else {
        own
    }
}

/// Picks a server.
#[inline(always)]
fn pick<T: LocalTables>(tables: T, plan: &Plan, to: &ServiceKey) -> Option<u32> {
    tables.with_search(|search| {
        if matches!(
            Pick::from_raw(plan.pick),
            Pick::Least
                | Pick::WeightedLeast
                | Pick::ShortestDelay
                | Pick::NeverQueue
                | Pick::Locality
                | Pick::LocalitySet
        ) {
            return draw(tables, plan, &mut search.draw);
        }
        let [a, b, c, d]: [u32; 4] = zerocopy::transmute!(to.address);
        let flow = Flow {
            source: 0,
            destination: u32::from_be(a ^ b ^ c ^ d),
            port: 0,
            // Of two random servers the one with less of the other connections.
            hash: tables.random(),
        };
        search.search.restart(NO_SERVER);
        let (_, member) = scheduler::pick_unremembered(tables, plan, &flow, &mut search.search)?;
        Some(member.server)
    })?
}

/// State of a search for a server, in memory that no other search uses meanwhile, see [`Search`].
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct LocalSearch {
    search: Search,
    draw: Draw,
    /// Keeps the size of the elements of a pinned map.
    reserved: [u64; 9],
}

const _: () = assert!(size_of::<LocalSearch>() == 176);

impl LocalSearch {
    /// A new one.
    pub const fn new() -> Self {
        Self {
            search: Search::new(NO_SERVER),
            draw: Draw::new(u64::MAX),
            reserved: [0; 9],
        }
    }
}

impl Default for LocalSearch {
    fn default() -> Self {
        Self::new()
    }
}

/// A draw by weight.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Draw {
    /// Sum of the weights of the members so far.
    sum: u64,
    /// The sum that the drawn member's is the first above.
    left: u64,
    /// Server index of that member; [`NO_SERVER`]: not met yet.
    server: u32,
}

impl Draw {
    const fn new(left: u64) -> Self {
        Self {
            sum: 0,
            left,
            server: NO_SERVER,
        }
    }
}

/// Draws a server by weight.
#[inline(always)]
fn draw<T: LocalTables>(tables: T, plan: &Plan, draw: &mut Draw) -> Option<u32> {
    *draw = Draw::new(u64::MAX);
    tables.walk(plan.member_count, &mut Drawer::new(tables, plan, draw));
    // None without a weight.
    let left = u64::from(tables.random()).checked_rem(draw.sum)?;
    *draw = Draw::new(left);
    tables.walk(plan.member_count, &mut Drawer::new(tables, plan, draw));
    Some(draw.server).filter(|&server| server != NO_SERVER)
}

/// The walk over members that adds up their weights until the sum is above `left`.
#[repr(C, align(8))]
struct Drawer<'a, T> {
    tables: T,
    members: u32,
    draw: &'a mut Draw,
}

impl<'a, T> Drawer<'a, T> {
    #[inline(always)]
    const fn new(tables: T, plan: &Plan, draw: &'a mut Draw) -> Self {
        Self {
            tables,
            members: plan.members,
            draw,
        }
    }
}

impl<T: Tables> Step for Drawer<'_, T> {
    #[inline(always)]
    fn step(&mut self, turn: u32) -> bool {
        let Some(member) = self.tables.member(self.members.wrapping_add(turn)) else {
            return false;
        };
        if !usable(self.tables, member) {
            return true;
        }
        self.draw.sum = self.draw.sum.wrapping_add(u64::from(member.weight));
        if self.draw.sum > self.draw.left {
            self.draw.server = member.server;
            return false;
        }
        true
    }
}
