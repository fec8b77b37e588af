//! The story of a packet, from its first byte to its verdict.

use core::marker::PhantomData;

use crate::abi::{Address, FragmentKey, Method, Plan, Server, ServiceKey, age, concern_bit};
use crate::connection::table::{self, New, Place, Refused, Slot, Store, Survey, Ways};
use crate::connection::{
    Client, Direction, Key, Kind, Protocol, Record, Signal, half_open, sctp, step, tcp, udp,
};
use crate::family::{Family, V4, V6};
use crate::link::{self, Egress, Link};
use crate::network::{Datagram, Network, Part, Trouble};
use crate::packet::Packet;
use crate::schedule::{self, Flow};
use crate::tables::Tables;
use crate::transmit::{Forward, Rewrite, Route, to_client, to_server};
use crate::verdict::{Reason, Verdict};
use crate::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, SCTP_CHUNK, TCP_OFFSET};
use crate::{answer, persistence, relate};

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
    /// How the service of a new connection groups clients, see [`Record::persistence`].
    pub persistence: u8,
    /// The packet is scheduled for itself alone: it gets no entry.
    pub alone: bool,
    /// The packet established a connection of a persistent service: [`Work::key`] is the connection's,
    /// and [`Work::new`] has its record.
    pub established: bool,
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

/// Decides what becomes of a frame, and makes it so.
#[inline(always)]
pub fn forward<P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    workspace: &mut Workspace,
) -> Verdict {
    let Workspace { v4, v6 } = workspace;
    let link = &mut v4.forward.link;
    if let Err(reason) = link::parse(packet, link) {
        return Verdict::drop(reason);
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
    let mut stage = arrive(packet, tables, work);
    if stage == Stage::Icmp {
        stage = relate::relate(packet, tables, work);
    }
    if stage == Stage::Unknown {
        stage = schedule(tables, work);
    }
    if stage == Stage::Persistent {
        stage = persistence::recall(tables, work);
    }
    if stage == Stage::Stranger {
        stage = place_stranger(tables, work);
    }
    if stage == Stage::Newcomer {
        stage = persistence::establish(tables, work);
    }
    if stage == Stage::Picked {
        stage = match connect(tables, work) {
            Ok(()) => Stage::To,
            Err(Refused::Exists) => rival(tables, work),
            Err(Refused::Full) => Stage::Crowded,
        };
    }
    if stage == Stage::Crowded {
        stage = crowded(tables, work);
    }
    let replied = stage == Stage::Reply && reply(tables, work);
    if work.established {
        persistence::assure(tables, work);
    }
    match stage {
        Stage::To => to_server(packet, tables, &mut work.forward),
        Stage::Reply if replied => to_client(packet, tables, &mut work.forward, &work.client),
        Stage::Unreachable => {
            answer::send(packet, tables, &work.forward, Trouble::PortUnreachable, 0)
        }
        Stage::Reply | Stage::Ended => work.verdict,
        Stage::Icmp
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
    /// From a real server perhaps: find the connection it replies to. If there is none,
    /// [`Work::verdict`] is the end of it.
    Reply,
    /// There is a service but no server: tell the client.
    Unreachable,
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

    /// What an entry of the new connection says about its server.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the tables end at 65,536 and 4,096"
    )]
    pub fn record<T: Tables>(&self, tables: T) -> Record {
        let Route { server, method, .. } = self.forward.route;
        Record {
            server: server as u16,
            service: tables.server(server).map_or(0, |server| server.service) as u16,
            method: method as u8,
            persistence: self.persistence,
        }
    }

    /// What comes next once the server of a new connection is known.
    #[inline(always)]
    pub const fn admitted(&self) -> Stage {
        if self.alone { Stage::To } else { Stage::Picked }
    }
}

/// Parses a packet and finds its connection.
#[inline(never)]
fn arrive<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &P,
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    work.established = false;
    work.forward.interface = packet.interface();
    let start = work.forward.link.payload;
    let parsed = F::parse(packet, tables, start, &mut work.forward.datagram);
    if let Err(reason) = parsed {
        return work.end(Verdict::drop(reason));
    }
    tables.settle();
    let datagram = &work.forward.datagram;
    if datagram.protocol == F::ICMP {
        return Stage::Icmp;
    }
    let to_virtual = concerns(tables, &F::widen(datagram.destination));
    if !to_virtual && !concerns(tables, &F::widen(datagram.source)) {
        return work.end(Verdict::pass(Reason::NotOurs));
    }
    let Some(protocol) = Protocol::from_number(datagram.protocol) else {
        return work.end(Verdict::pass(Reason::OtherProtocol));
    };
    if let Err(verdict) = transport(packet, tables, &mut work.forward, protocol) {
        return work.end(verdict);
    }
    work.forward.protocol = Some(protocol);
    work.forward.now = tables.now();
    if !to_virtual {
        work.verdict = Verdict::pass(Reason::NoConnection);
        return Stage::Reply;
    }
    work.key = work.forward.key(Kind::Request);
    work.forward.hash = F::hash(&work.key, tables);
    tables.settle();
    let place = Place::of(work.forward.hash, Store::<F>::sets(tables));
    let Some(connection) = find_at(tables, &work.key, place, work.forward.now) else {
        return Stage::Unknown;
    };
    if starts_over(work.forward.signal, protocol, connection.slot.tag.state()) {
        table::remove::<F, T>(tables, &connection.slot);
        return Stage::Unknown;
    }
    known(tables, work, protocol, &connection)
}

/// Whether the director may have to do with an address: false positives are possible.
#[inline(always)]
pub fn concerns<T: Tables>(tables: T, address: &Address) -> bool {
    let (word, bit) = concern_bit(address);
    tables.concern(word) >> bit & 1 != 0
}

/// A value on the stack where words may be stored whole: a BPF program's stack has to be accessed
/// aligned.
#[repr(C, align(8))]
struct Aligned<T>(T);

/// Reads ports, and what the packet says about its connection.
#[inline(always)]
fn transport<F: Network, P: Packet, T: Tables>(
    packet: &P,
    tables: T,
    forward: &mut Forward<F>,
    protocol: Protocol,
) -> Result<(), Verdict> {
    let datagram = &forward.datagram;
    if datagram.part == Part::Later {
        forward.signal = Signal::Nothing;
        return recall(tables, forward);
    }
    let place = datagram.transport;
    let first = datagram.part != Part::Whole;
    let cut_short = Verdict::drop(if first {
        Reason::FragmentOverlap
    } else {
        Reason::Truncated
    });
    let needed = match protocol {
        Protocol::Tcp => 20,
        Protocol::Udp => 8,
        Protocol::Sctp => 16,
    };
    if place + needed > datagram.end {
        return Err(cut_short);
    }
    forward.ports = *packet.header(place).ok_or(cut_short)?;
    forward.signal = match protocol {
        Protocol::Tcp => {
            let [_, flags]: [u8; 2] = *packet.header(place + TCP_OFFSET).ok_or(cut_short)?;
            tcp::Event::from_flags(flags).map_or(Signal::Nothing, Signal::Tcp)
        }
        Protocol::Udp => Signal::Udp,
        Protocol::Sctp => {
            let [chunk, _]: [u8; 2] = *packet.header(place + SCTP_CHUNK).ok_or(cut_short)?;
            Signal::Sctp(sctp::Event::from_chunk(chunk))
        }
    };
    if first {
        remember(tables, forward);
    }
    Ok(())
}

#[inline(always)]
fn fragment_key<F: Family>(datagram: &Datagram<F>) -> Aligned<FragmentKey> {
    Aligned(FragmentKey {
        source: F::widen(datagram.source),
        destination: F::widen(datagram.destination),
        identification: datagram.identification,
        protocol: datagram.protocol,
        reserved: [0; 3],
    })
}

/// A first fragment tells the later ones' ports.
#[inline(never)]
fn remember<F: Family, T: Tables>(tables: T, forward: &Forward<F>) {
    tables.remember(&fragment_key(&forward.datagram).0, forward.ports);
}

#[inline(never)]
fn recall<F: Family, T: Tables>(tables: T, forward: &mut Forward<F>) -> Result<(), Verdict> {
    match tables.recall(&fragment_key(&forward.datagram).0) {
        Some(ports) => {
            forward.ports = ports;
            Ok(())
        }
        None => Err(Verdict::pass(Reason::StrayFragment)),
    }
}

/// A connection that was found.
#[derive(Clone, Copy, Debug)]
pub struct Connection<F: Family, S> {
    /// Its place in the table.
    pub slot: Slot<S>,
    /// Its server, service and method.
    pub record: Record,
    family: PhantomData<F>,
}

impl<F: Family, S: Ways<F>> Connection<F, S> {
    #[inline(always)]
    const fn new(slot: Slot<S>, record: Record) -> Self {
        Self {
            slot,
            record,
            family: PhantomData,
        }
    }

    /// What its client asked for.
    #[inline(always)]
    pub fn key(&self) -> Key<F> {
        self.slot.set.key(self.slot.way)
    }

    /// Where its client was last heard; `None` when the connection is gone.
    #[inline(always)]
    pub fn client(&self) -> Option<Egress> {
        let client = self.slot.set.client(self.slot.way);
        table::unchanged(&self.slot).then_some(Egress {
            destination: client.mac,
            source: client.director,
            tags: client.vlan,
            interface: client.interface,
        })
    }
}

/// Finds a live connection; an expired one is removed and counts as a miss.
#[inline(always)]
pub fn find<F: Family, T: Tables + Store<F>>(
    tables: T,
    key: &Key<F>,
    now: u32,
) -> Option<Connection<F, <T as Store<F>>::Set>> {
    let place = Place::of(F::hash(key, tables), Store::<F>::sets(tables));
    find_at(tables, key, place, now)
}

#[inline(always)]
fn find_at<F: Family, T: Tables + Store<F>>(
    tables: T,
    key: &Key<F>,
    place: Place,
    now: u32,
) -> Option<Connection<F, <T as Store<F>>::Set>> {
    let slot = table::find::<F, T>(tables, key, place)?;
    let record = slot.set.record(slot.way);
    // A reply entry lives as long as its connection, which `client` checks.
    let expired = key.kind != Kind::Reply as u8 && is_expired(&slot, now);
    if !table::unchanged(&slot) {
        return None;
    }
    if expired {
        table::remove::<F, T>(tables, &slot);
        return None;
    }
    Some(Connection::new(slot, record))
}

/// The connection that a reply entry belongs to.
#[inline(always)]
pub fn client<F: Family, T: Tables + Store<F>>(
    tables: T,
    reply: &Connection<F, <T as Store<F>>::Set>,
    now: u32,
) -> Option<Connection<F, <T as Store<F>>::Set>> {
    let slot = table::by_number::<F, T>(tables, reply.slot.set.partner(reply.slot.way))?;
    let record = slot.set.record(slot.way);
    let alive = slot.set.partner(slot.way) == reply.slot.number
        && !is_expired(&slot, now)
        && table::unchanged(&slot)
        && table::unchanged(&reply.slot);
    alive.then_some(Connection::new(slot, record))
}

#[inline(always)]
fn is_expired<F: Family, S: Ways<F>>(slot: &Slot<S>, now: u32) -> bool {
    age(now, slot.set.seen(slot.way)) > slot.set.timeout(slot.way)
}

/// A SYN on a connection that is over starts a new one (`conn_reuse_mode` 1).
#[inline(always)]
fn starts_over(signal: Signal, protocol: Protocol, state: u8) -> bool {
    protocol == Protocol::Tcp
        && signal == Signal::Tcp(tcp::Event::Syn)
        && tcp::State::from_raw(state).reusable()
}

/// A packet of a known connection, from the client.
#[inline(always)]
fn known<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
    protocol: Protocol,
    connection: &Connection<F, <T as Store<F>>::Set>,
) -> Stage {
    let Connection { slot, record, .. } = connection;
    let index = u32::from(record.server);
    if tables
        .server(index)
        .is_none_or(|server| server.flags & Server::DELETED != 0)
    {
        return work.end(Verdict::drop(Reason::ServerDeleted));
    }
    let forward = &mut work.forward;
    let method = Method::from_raw(record.method);
    let direction = if method == Method::Nat {
        Direction::Input
    } else {
        Direction::InputOnly
    };
    let state = step::<F, T>(
        tables,
        slot,
        record.server,
        protocol,
        direction,
        forward.signal,
    );
    slot.set
        .touch(slot.way, forward.now, tables.timeout(protocol, state));
    if method == Method::Nat {
        let heard = heard(forward.interface, &forward.link);
        if slot.set.client(slot.way) != heard {
            slot.set.learn(slot.way, &heard);
        }
    }
    tables.count_in(
        u32::from(record.service),
        index,
        forward.datagram.length(),
        false,
    );
    forward.route = Route::new(index, method);
    if persistence::establishes(record, protocol, slot.tag, state) {
        work.new.record = *record;
        work.established = true;
    }
    Stage::To
}

/// Where the client's packet came from: where replies go.
#[inline(always)]
const fn heard(interface: u32, link: &Link) -> Client {
    Client {
        vlan: link.tags,
        mac: link.source,
        director: link.destination,
        interface,
    }
}

/// Finds the connection that a packet replies to. True: `rewrite` holds what the client asked for and
/// `client` where it is.
#[inline(never)]
fn reply<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> bool {
    replied(tables, work).is_some()
}

#[inline(always)]
fn replied<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Option<()> {
    let Forward { now, signal, .. } = work.forward;
    let protocol = work.forward.protocol?;
    work.key = work.forward.key(Kind::Reply);
    let reply = find(tables, &work.key, now)?;
    let connection = client(tables, &reply, now)?;
    let Connection { slot, record, .. } = connection;
    let asked = connection.key();
    work.client = connection.client()?;
    work.forward.rewrite = Rewrite {
        source: asked.destination,
        destination: work.forward.datagram.destination,
        ports: asked.ports.reversed(),
    };
    let state = step::<F, T>(
        tables,
        &slot,
        record.server,
        protocol,
        Direction::Output,
        signal,
    );
    slot.set
        .touch_reply(slot.way, now, tables.timeout(protocol, state));
    let length = work.forward.datagram.length();
    tables.count_out(u32::from(record.service), u32::from(record.server), length);
    if persistence::establishes(&record, protocol, slot.tag, state) {
        work.key = asked;
        work.new.record = record;
        work.established = true;
    }
    Some(())
}

/// Picks the server of a new connection, if there is a service for it.
#[inline(never)]
fn schedule<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    let (Some(plan), Some(protocol)) = (service(tables, &work.key), work.forward.protocol) else {
        work.verdict = Verdict::pass(Reason::NoService);
        return Stage::Reply;
    };
    // IPVS leaves connections from the FTP data port to the FTP helper.
    let ftp_data = protocol == Protocol::Tcp && work.key.ports.source.get() == 20;
    if !work.forward.signal.starts() || ftp_data {
        let flow = flow(work);
        return stray(tables, work, plan, &flow);
    }
    work.alone = plan.flags & Plan::ONE_PACKET != 0 && protocol == Protocol::Udp;
    work.persistence = 0;
    if plan.persistence != 0 {
        work.persistence = plan.prefix.wrapping_add(1);
        persistence::ask(work, plan);
        return Stage::Persistent;
    }
    place(tables, work, plan)
}

/// Picks a server and counts the connection.
#[inline(always)]
fn place<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>, plan: &Plan) -> Stage {
    let flow = flow(work);
    let Some((_, member)) = schedule::pick(tables, plan, &flow) else {
        return Stage::Unreachable;
    };
    schedule::taken(tables, member);
    work.forward.route = Route::new(member.server, Method::from_raw(member.method));
    let length = work.forward.datagram.length();
    tables.count_in(plan.service, member.server, length, true);
    work.admitted()
}

/// Picks the server of a persistent service's client that has no template.
#[inline(never)]
fn place_stranger<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    let Some(plan) = service(tables, &work.key) else {
        return Stage::Reply;
    };
    match place(tables, work, plan) {
        Stage::Unreachable => Stage::Unreachable,
        _ => Stage::Newcomer,
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "any half will do")]
fn flow<F: Family>(work: &Work<F>) -> Flow {
    Flow {
        source: schedule::fold::<F>(work.key.source),
        destination: schedule::fold::<F>(work.key.destination),
        port: work.key.ports.source.get(),
        hash: work.forward.hash as u32,
    }
}

/// The plan of the service that a flow is for: its own port's, else the one for every port.
#[inline(always)]
fn service<'a, F: Network, T: Tables + 'a>(tables: T, key: &Key<F>) -> Option<&'a Plan> {
    let mut wanted = Aligned(ServiceKey {
        address: F::widen(key.destination),
        port: key.ports.destination,
        protocol: key.protocol,
        family: F::NUMBER,
    });
    let index = if let Some(index) = tables.service(&wanted.0) {
        index
    } else {
        wanted.0.port = zerocopy::byteorder::network_endian::U16::ZERO;
        tables.service(&wanted.0)?
    };
    // The hash element may have been reused while it was read: the plan knows whose it is.
    tables.plan(index).filter(|plan| plan.key == wanted.0)
}

/// Enters a connection into the table, for NAT with an entry for its replies.
#[inline(always)]
fn connect<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Result<(), Refused> {
    if !prepare(tables, work) {
        return Err(Refused::Full);
    }
    let place = Place::of(work.forward.hash, Store::<F>::sets(tables));
    let number = table::insert::<F, T>(tables, place, &mut work.new)?.get();
    if work.forward.route.method != Method::Nat {
        return Ok(());
    }
    let hash = prepare_reply(tables, work, number);
    let place = Place::of(hash, Store::<F>::sets(tables));
    let reply = table::insert::<F, T>(tables, place, &mut work.new);
    // Gone already, or another connection's, only if somebody recycled it within this microsecond.
    let Some(slot) =
        table::by_number::<F, T>(tables, number).filter(|slot| slot.set.holds(slot.way, &work.key))
    else {
        return Err(Refused::Full);
    };
    let Ok(reply) = reply else {
        table::remove::<F, T>(tables, &slot);
        return Err(Refused::Full);
    };
    slot.set.set_partner(slot.way, reply.get());
    Ok(())
}

/// Lays out the entry of a new connection.
#[inline(never)]
fn prepare<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> bool {
    let Some(protocol) = work.forward.protocol else {
        return false;
    };
    let forward = &work.forward;
    let method = forward.route.method;
    let direction = if method == Method::Nat {
        Direction::Input
    } else {
        Direction::InputOnly
    };
    let state = forward.signal.next(direction, udp::NORMAL);
    work.new = New {
        key: work.key,
        record: work.record(tables),
        client: heard(forward.interface, &forward.link),
        partner: 0,
        state,
        half_open: protocol == Protocol::Udp || half_open(protocol, state),
        now: forward.now,
        timeout: tables.timeout(protocol, state),
        survey: Survey::default(),
    };
    true
}

/// Turns the entry of a NAT connection into that of its replies.
#[inline(never)]
fn prepare_reply<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
    connection: u32,
) -> u64 {
    let new = &mut work.new;
    if let Some(server) = tables.server(u32::from(new.record.server)) {
        new.key.source = F::narrow(&server.address);
        new.key.ports = work.key.ports.reversed();
        if server.port.get() != 0 {
            new.key.ports.source = server.port;
        }
    }
    new.key.destination = work.key.source;
    new.key.kind = Kind::Reply as u8;
    new.partner = connection;
    new.state = 0;
    // It lives as long as its connection, whose clock is the one that packets keep going.
    new.timeout = u32::MAX;
    F::hash(&new.key, tables)
}

/// Another CPU scheduled the same flow a moment ago: its choice stands.
#[inline(never)]
fn rival<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    match find(tables, &work.key, work.forward.now) {
        Some(Connection { record, .. }) => {
            let method = Method::from_raw(record.method);
            work.forward.route = Route::new(u32::from(record.server), method);
            Stage::To
        }
        // It went again at once: there is no choice to follow, and no entry of our own.
        None => Stage::Crowded,
    }
}

/// The table has no room for the connection.
#[inline(never)]
fn crowded<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    match service(tables, &work.key) {
        Some(plan) => {
            let flow = flow(work);
            stateless(tables, work, plan, &flow)
        }
        None => work.end(Verdict::drop(Reason::TableFull)),
    }
}

/// A packet that belongs to no connection and cannot start one. While its sets are full it may
/// belong to one that found no room.
#[inline(always)]
fn stray<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
    plan: &Plan,
    flow: &Flow,
) -> Stage {
    let place = Place::of(work.forward.hash, Store::<F>::sets(tables));
    let reset = work.forward.signal == Signal::Tcp(tcp::Event::Rst);
    if reset || !table::full::<F, T>(tables, place) {
        return work.end(Verdict::pass(Reason::NoConnection));
    }
    stateless(tables, work, plan, flow)
}

/// Forwards by the flow's hash alone; not NAT, whose replies would not find their way back.
#[inline(always)]
fn stateless<F: Network, T: Tables>(
    tables: T,
    work: &mut Work<F>,
    plan: &Plan,
    flow: &Flow,
) -> Stage {
    match schedule::pick_stateless(tables, plan, flow) {
        Some((_, member)) if Method::from_raw(member.method) != Method::Nat => {
            work.forward.route = Route {
                server: member.server,
                method: Method::from_raw(member.method),
                reason: Reason::Stateless,
            };
            Stage::To
        }
        _ => work.end(Verdict::drop(Reason::TableFull)),
    }
}
