//! The short way: an ordinary packet of a known connection.
//!
//! Nearly every packet is one. It carries nothing that asks for a closer look (VLAN tags, options,
//! fragments), leaves its connection's state as it is, and goes out by a plain next hop. All that takes is
//! done here from top to bottom, with its values in registers and nothing changed before it is certain.
//! Whatever else comes goes through the stages, which do the same for every packet.

use super::arrive::concerns;
use super::enter::heard;
use super::find::is_expired;
use crate::abi::{Config, Hop, Method, Server};
use crate::connection::table::{self, Place, Slot, Store, Ways};
use crate::connection::{Direction, Key, Kind, Protocol, Record, Signal, half_open, tcp};
use crate::link::{Egress, Link, UNTAGGED, is_own};
use crate::network::{Network, Plain};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::transmit::{Rewrite, egress, udp};
use crate::tunnel;
use crate::verdict::{Reason, Verdict};
use crate::wire::{Headers, Transport};

/// Bytes of an Ethernet header without tags.
const ETHERNET: usize = 14;

/// An ordinary packet: what decides about it, read once.
struct Ordinary<'a, F: Network> {
    config: &'a Config,
    plain: Plain<F>,
    protocol: Protocol,
    signal: Signal,
    interface: u32,
    now: u32,
}

impl<F: Network> Ordinary<'_, F> {
    #[inline(always)]
    fn timeout(&self, state: u8) -> u32 {
        self.config.timeout(self.protocol, state)
    }
}

/// The verdict on an ordinary packet of a known connection, or on one that is none of the director's.
/// `None`: it is another one, and nothing was changed.
#[inline(never)]
pub(super) fn forward<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
) -> Option<Verdict> {
    let interface = packet.interface();
    let room = packet.length().wrapping_sub(ETHERNET);
    let headers: &mut Headers<F::Header> = packet.header_mut(0)?;
    let plain = F::plain(&headers.internet, room)?;
    let (protocol, signal) = transport(&headers.transport, &plain)?;
    let to_virtual = concerns(tables, &F::widen(plain.destination));
    if !to_virtual && !concerns(tables, &F::widen(plain.source)) {
        return Some(Verdict::pass(Reason::NotOurs));
    }
    let config = tables.config()?;
    if !is_own(config, &headers.ethernet.destination) {
        return None;
    }
    let ordinary = Ordinary {
        config,
        plain,
        protocol,
        signal,
        interface,
        now: tables.now(),
    };
    // A SYN begins something, or is repeated.
    if plain.hop_limit <= 1 || signal == Signal::Tcp(tcp::Event::Syn) {
        None
    } else if to_virtual {
        match request(headers, tables, &ordinary)? {
            Course::Sent(verdict) => Some(verdict),
            Course::Tunnel(server, hop, hash) => {
                Some(wrap(packet, tables, &ordinary, server, hop, hash))
            }
        }
    } else {
        reply(headers, tables, &ordinary)
    }
}

/// What became of a client's packet.
enum Course<'a> {
    /// It is ready.
    Sent(Verdict),
    /// It goes to this server by this hop inside another one. The last is its flow's hash.
    Tunnel(&'a Server, &'a Hop, u64),
}

/// Protocol, and what the packet says about its connection.
#[inline(always)]
fn transport<F: Network>(header: &Transport, plain: &Plain<F>) -> Option<(Protocol, Signal)> {
    #[expect(clippy::cast_possible_truncation, reason = "20 or 40")]
    let payload = plain.length.wrapping_sub(F::HEADER as u32);
    match Protocol::from_number(plain.protocol)? {
        Protocol::Tcp if payload >= 20 => {
            let event = tcp::Event::from_flags(header.flags)?;
            Some((Protocol::Tcp, Signal::Tcp(event)))
        }
        Protocol::Udp if payload >= 8 => Some((Protocol::Udp, Signal::Udp)),
        _ => None,
    }
}

/// A client's packet.
#[inline(always)]
fn request<'a, F: Network, T: Tables + Store<F> + 'a>(
    headers: &mut Headers<F::Header>,
    tables: T,
    packet: &Ordinary<'_, F>,
) -> Option<Course<'a>> {
    let ports = headers.transport.ports;
    let (slot, hash) = find(tables, packet, Kind::Request, headers)?;
    let (set, way) = (slot.set, slot.way);
    let record = set.record(way);
    let method = Method::from_raw(record.method);
    let direction = match method {
        Method::Direct | Method::Tunnel => Direction::InputOnly,
        Method::Nat => Direction::Input,
        Method::Local => return None,
    };
    let state = settled(&slot, packet, direction)?;
    let (server, hop) = reachable(tables, &record)?;
    let room = match method {
        Method::Tunnel => tunnel::room(server, hop),
        _ => u32::from(hop.mtu),
    };
    if packet.plain.length > room {
        return None;
    }
    if method == Method::Nat {
        let link = Link {
            destination: headers.ethernet.destination,
            source: headers.ethernet.source,
            tags: UNTAGGED,
            ethertype: F::ETHERTYPE,
            payload: ETHERNET,
        };
        if server.family != F::NUMBER || set.client(way) != heard(packet.interface, &link) {
            return None;
        }
    }
    let sync = packet.config.sync;
    let told = sync.on != 0 && sync.is_due(set.packets(way).wrapping_add(1));
    if told || !table::unchanged(&slot) {
        return None;
    }
    set.touch(way, packet.now, packet.timeout(state));
    let (service, index) = (u32::from(record.service), u32::from(record.server));
    tables.count_in(service, index, packet.plain.length, false);
    if method == Method::Tunnel {
        return Some(Course::Tunnel(server, hop, hash));
    }
    let reason = if method == Method::Nat {
        let mut fresh = ports;
        if server.port.get() != 0 {
            fresh.destination = server.port;
        }
        let rewrite = Rewrite {
            source: packet.plain.source,
            destination: F::narrow(&server.address),
            ports: fresh,
        };
        translate(headers, packet, &rewrite);
        Reason::Nat
    } else {
        Reason::Direct
    };
    let sent = send(headers, packet, &egress(hop), reason);
    Some(Course::Sent(sent))
}

/// Sends a packet inside another one.
#[inline(always)]
fn wrap<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    ordinary: &Ordinary<'_, F>,
    server: &Server,
    hop: &Hop,
    hash: u64,
) -> Verdict {
    let inner = tunnel::Inner {
        network: ETHERNET,
        length: ordinary.plain.length,
        hop_limit: ordinary.plain.hop_limit,
        hash,
        now: ordinary.now,
    };
    match tunnel::wrap::<F, P, T>(packet, tables, &inner, server, hop, UNTAGGED) {
        Some(egress) => egress.verdict(packet, Reason::Tunnel),
        None => Verdict::drop(Reason::NoRoom),
    }
}

/// A real server's packet: the reply to a client's, if there is a NAT connection for it.
#[inline(always)]
fn reply<F: Network, T: Tables + Store<F>>(
    headers: &mut Headers<F::Header>,
    tables: T,
    packet: &Ordinary<'_, F>,
) -> Option<Verdict> {
    let (reply, _) = find(tables, packet, Kind::Reply, headers)?;
    let slot = table::by_number::<F, T>(tables, reply.set.partner(reply.way))?;
    let (set, way) = (slot.set, slot.way);
    if set.partner(way) != reply.number {
        return None;
    }
    let record = set.record(way);
    let state = settled(&slot, packet, Direction::Output)?;
    let (asked, client) = (set.key(way), set.client(way));
    let [outer, _] = client.vlan;
    let plain = outer.get() == 0 && client.interface != 0;
    if !plain || !table::unchanged(&slot) || !table::unchanged(&reply) {
        return None;
    }
    set.touch_reply(way, packet.now, packet.timeout(state));
    let (service, index) = (u32::from(record.service), u32::from(record.server));
    tables.count_out(service, index, packet.plain.length);
    let rewrite = Rewrite {
        source: asked.destination,
        destination: packet.plain.destination,
        ports: asked.ports.reversed(),
    };
    translate(headers, packet, &rewrite);
    let egress = Egress {
        destination: client.mac,
        source: client.director,
        tags: UNTAGGED,
        interface: client.interface,
    };
    Some(send(headers, packet, &egress, Reason::NatReply))
}

/// A live connection, and the hash of the packet's flow.
#[inline(always)]
fn find<F: Network, T: Tables + Store<F>>(
    tables: T,
    packet: &Ordinary<'_, F>,
    kind: Kind,
    headers: &Headers<F::Header>,
) -> Option<(Slot<<T as Store<F>>::Set>, u64)> {
    let key = Key {
        source: packet.plain.source,
        destination: packet.plain.destination,
        ports: headers.transport.ports,
        protocol: packet.plain.protocol,
        kind: kind as u8,
    };
    let hash = F::hash(&key, tables);
    let place = Place::of(hash, Store::<F>::sets(tables));
    Some((table::find_first::<F, T>(tables, &key, place)?, hash))
}

/// The state of a connection that is not expired and stays in it.
#[inline(always)]
fn settled<F: Network, S: Ways<F>>(
    slot: &Slot<S>,
    packet: &Ordinary<'_, F>,
    direction: Direction,
) -> Option<u8> {
    let state = packet.signal.next(direction, slot.tag.state());
    let stays = slot.tag.live(state, half_open(packet.protocol, state)) == slot.tag;
    (stays && !is_expired(slot, packet.now)).then_some(state)
}

/// The real server and the next hop to it, if packets can go there without a tag.
#[inline(always)]
fn reachable<'a, T: Tables + 'a>(tables: T, record: &Record) -> Option<(&'a Server, &'a Hop)> {
    let server = tables.server(u32::from(record.server))?;
    if server.flags != 0 || server.hop == 0 {
        return None;
    }
    let hop = tables.hop(server.hop)?;
    (hop.vlan.get() == 0).then_some((server, hop))
}

/// Replaces addresses and ports with all checksums over them.
#[inline(always)]
fn translate<F: Network>(
    headers: &mut Headers<F::Header>,
    packet: &Ordinary<'_, F>,
    rewrite: &Rewrite<F>,
) {
    let Plain {
        source,
        destination,
        ..
    } = &packet.plain;
    let transport = &mut headers.transport;
    let addresses = F::difference(
        [source, destination],
        [&rewrite.source, &rewrite.destination],
    );
    let change = addresses
        .remove(transport.ports.to_bytes())
        .add(rewrite.ports.to_bytes());
    if packet.protocol == Protocol::Tcp {
        transport.tcp_checksum = change.update(transport.tcp_checksum);
    } else {
        transport.udp_checksum = udp(change, transport.udp_checksum);
    }
    transport.ports = rewrite.ports;
    F::replace(
        &mut headers.internet,
        &rewrite.source,
        &rewrite.destination,
        addresses,
    );
}

/// Takes a hop, writes the Ethernet addresses and sends the packet.
#[inline(always)]
fn send<F: Network>(
    headers: &mut Headers<F::Header>,
    packet: &Ordinary<'_, F>,
    egress: &Egress,
    reason: Reason,
) -> Verdict {
    F::take_hop(&mut headers.internet);
    headers.ethernet.destination = egress.destination;
    headers.ethernet.source = egress.source;
    if egress.interface == packet.interface {
        Verdict::transmit(reason)
    } else {
        Verdict::redirect(egress.interface, reason)
    }
}
