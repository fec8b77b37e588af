//! ICMP errors about packets of connections: they follow their connection in both directions.

use super::addr_filter::matches_filter;
use super::client_route;
use super::context::Route;
use super::find::{client, find};
use super::icmp_fragment;
use super::probe_answer;
use super::source_translation;
use super::stage::Stage;
use super::transmit::{decrement_ttl, send};
use super::work::Work;
use crate::abi::Method;
use crate::checksum::Sum;
use crate::connection::table::{self, Store, Ways};
use crate::connection::{Key, Kind, Ports, Protocol, Record, Signal};
use crate::network::{Network, Part};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::wire::Icmp;

/// Relays an ICMP error about a connection; everything else is a probe's or the kernel's.
#[inline(never)]
pub(super) fn related_icmp<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    work.verdict = Verdict::pass(Reason::IcmpOther);
    relay(packet, tables, work).unwrap_or_else(|| {
        icmp_fragment::disown(tables, work);
        Stage::Ended
    })
}

#[inline(always)]
fn relay<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
) -> Option<Stage> {
    let datagram = &work.forward.datagram;
    let icmp: &Icmp = packet.header(datagram.transport)?;
    if work.forward.ethernet.is_for_group() {
        return None;
    }
    if !F::is_icmp_error(icmp.kind) {
        if datagram.part != Part::Whole {
            return None;
        }
        probe_answer::echo_key(packet, work)?;
        return Some(Stage::ProbeAnswer);
    }
    F::parse_embedded(
        packet,
        tables,
        datagram.transport + size_of::<Icmp>(),
        &mut work.inner,
    )?;
    tables.fence();
    let inner = &work.inner;
    let later = inner.part == Part::Later;
    if later || inner.transport + 4 > work.forward.datagram.end {
        return None;
    }
    let from_virtual = matches_filter(tables, &F::widen(inner.source));
    if !from_virtual && !matches_filter(tables, &F::widen(inner.destination)) {
        return None;
    }
    let ports: Ports = *packet.header(inner.transport)?;
    // The packet inside travelled the other way.
    work.key = Key {
        source: inner.destination,
        destination: inner.source,
        ports: ports.reversed(),
        protocol: inner.protocol,
        kind: Kind::Request as u8,
    };
    let now = tables.now();
    work.forward.now = now;
    work.forward.protocol = None;
    work.forward.signal = Signal::Nothing;
    work.forward.ports = ports.reversed();
    work.forward.hash = 0;
    tables.fence();
    if Protocol::from_number(work.inner.protocol).is_none() {
        return Some(Stage::TunnelError);
    }
    if from_virtual && let Some(connection) = find(tables, &work.key, now) {
        work.number = connection.slot.number;
        work.before = connection.slot.tag.state();
        return to_real_server(packet, tables, work, connection.record);
    }
    work.key.kind = Kind::Reply as u8;
    let Some(reply) = find(tables, &work.key, now) else {
        return Some(Stage::TunnelError);
    };
    let connection = client(tables, &reply, now)?;
    let asked = connection.key();
    // From here on the key is what the client asked for.
    work.key = asked;
    work.number = connection.slot.number;
    work.before = connection.slot.tag.state();
    work.way = connection.slot.set.client(connection.slot.way);
    if !table::unchanged(&connection.slot) {
        return None;
    }
    icmp_fragment::remember(tables, work, icmp_fragment::TO_CLIENT);
    if client_route::ready(packet.routes(), tables, work, P::BUFFER) == Stage::Ended {
        return Some(Stage::Ended);
    }
    to_client(packet, tables, work, connection.record)
}

/// From the client's side, about a packet that a real server sent.
#[inline(always)]
fn to_real_server<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
    record: Record,
) -> Option<Stage> {
    let server = tables.server(tables.server_of(&record))?;
    let method = Method::from_raw(record.method);
    work.forward.route = Route {
        reason: Reason::IcmpToServer,
        ..Route::new(tables.server_of(&record), method)
    };
    let mut fragments = 0;
    if method == Method::Nat && work.forward.datagram.hop_limit > 1 {
        let address = F::narrow(&server.address);
        let mut ports = work.key.ports.reversed();
        if server.port.get() != 0 {
            ports.source = server.port;
        }
        // What the server sent went to the source that it sees.
        let mut client = work.inner.destination;
        let mut sender = work.forward.datagram.source;
        if record.is_translated() {
            if source_translation::recall(tables, work) == Stage::Ended {
                return Some(Stage::Ended);
            }
            let translated = work.forward.rewrite.source;
            ports = work.forward.rewrite.ports.reversed();
            // It may have no way to where the error comes from, if it has none to the client.
            if translated != client {
                sender = translated;
                fragments = icmp_fragment::FROM_TRANSLATED;
            }
            client = translated;
            work.forward.rewrite.source = sender;
        }
        rewrite(packet, work, &address, &client, ports)?;
        // The outer addresses become the server's and its client's like those of any other packet.
        let change = F::difference(work.forward.datagram.addresses(), [&sender, &address]);
        patch_pseudo::<F, P>(packet, work, change)?;
    }
    icmp_fragment::remember(tables, work, fragments);
    let (service, server) = (tables.service_of(&record), tables.server_of(&record));
    tables.count_in(service, server, work.forward.wire.traffic, false);
    Some(Stage::ToServer)
}

/// From the real server's side, about a packet that the client sent (NAT).
#[inline(always)]
fn to_client<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
    record: Record,
) -> Option<Stage> {
    let datagram = &work.forward.datagram;
    if datagram.hop_limit <= 1 {
        return Some(work.end(Verdict::drop(Reason::Unanswerable)));
    }
    let (client, virtual_address) = (work.key.source, work.key.destination);
    rewrite(packet, work, &client, &virtual_address, work.key.ports)?;
    let change = F::difference(datagram.addresses(), [&virtual_address, &client]);
    patch_pseudo::<F, P>(packet, work, change)?;
    F::readdress(packet, datagram, &virtual_address, &client)?;
    decrement_ttl(packet, &work.forward)?;
    let (service, server) = (tables.service_of(&record), tables.server_of(&record));
    tables.count_out(service, server, work.forward.wire.traffic);
    let sent = send(
        packet,
        &work.forward.ethernet,
        &work.client,
        F::ETHERTYPE,
        Reason::IcmpToClient,
    )?;
    let sent = client_route::waiting(work, sent, Reason::IcmpToClient);
    Some(work.end(sent))
}

/// Rewrites the packet inside and the ICMP checksum for it.
#[inline(always)]
fn rewrite<F: Network, P: Packet>(
    packet: &mut P,
    work: &Work<F>,
    source: &F::Address,
    destination: &F::Address,
    ports: Ports,
) -> Option<()> {
    // An IPv4 header sums up to the same before and after, its own checksum included; IPv6 has none,
    // so there the addresses count.
    let addresses = if F::NUMBER == 4 {
        Sum::default()
    } else {
        F::difference(work.inner.addresses(), [source, destination])
    };
    // `forward` holds the ports as the error's connection has them.
    let old = work.forward.ports.reversed();
    update(
        packet,
        work,
        addresses.remove(old.to_bytes()).add(ports.to_bytes()),
    )?;
    *packet.header_mut(work.inner.transport)? = ports;
    F::readdress(packet, &work.inner, source, destination)
}

/// ICMPv6's checksum covers the outer addresses.
#[inline(always)]
fn patch_pseudo<F: Network, P: Packet>(packet: &mut P, work: &Work<F>, change: Sum) -> Option<()> {
    if F::NUMBER == 4 {
        return Some(());
    }
    update(packet, work, change)
}

/// Brings the ICMP checksum up to date.
#[inline(always)]
fn update<F: Network, P: Packet>(packet: &mut P, work: &Work<F>, change: Sum) -> Option<()> {
    let place = work.forward.datagram.transport;
    let icmp: &mut Icmp = packet.header_mut(place)?;
    icmp.checksum = change.update(icmp.checksum);
    Some(())
}
