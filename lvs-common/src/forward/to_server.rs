//! Sends a packet to its real server: by direct routing, NAT or a tunnel.

use super::context::{Forward, Route, Source};
use super::icmp_answer::{answer, answer_too_big};
use super::icmp_error::IcmpError;
use super::nat::rewrite;
use super::transmit::{decrement_ttl, egress, send};
use super::tunnel;
use crate::abi::{Hop, Method, Server};
use crate::network::Network;
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// Sends a packet to its real server.
#[inline(never)]
pub(super) fn to_server<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &mut Forward<F>,
) -> Verdict {
    let Route {
        server,
        method,
        reason,
        ..
    } = forward.route;
    let Some(server) = tables.server(server) else {
        return Verdict::drop(Reason::ServerDeleted);
    };
    if method == Method::Local {
        return Verdict::pass(reason);
    }
    if forward.datagram.hop_limit <= 1 {
        return answer(forward, IcmpError::TimeExceeded);
    }
    let Some(hop) = tables.hop(server.hop).filter(|_| server.hop != 0) else {
        return Verdict::drop(Reason::Unresolved);
    };
    if method == Method::Tunnel {
        return tunnel::send(packet, tables, forward);
    }
    if method == Method::Nat && server.family != F::NUMBER {
        return Verdict::drop(Reason::FamilyMismatch);
    }
    let mtu = u32::from(hop.mtu);
    if forward.wire.largest > mtu {
        return answer_too_big(forward, hop, mtu);
    }
    let result = if method == Method::Nat {
        nat(packet, tables, forward, server, hop, reason)
    } else {
        direct(packet, forward, hop, reason)
    };
    result.unwrap_or(Verdict::drop(Reason::NoRoom))
}

/// Direct routing: another Ethernet header, one hop less.
#[inline(always)]
fn direct<F: Network, P: Packet>(
    packet: &mut P,
    forward: &Forward<F>,
    hop: &Hop,
    reason: Reason,
) -> Option<Verdict> {
    decrement_ttl(packet, forward)?;
    leave(packet, forward, hop, reason)
}

/// NAT towards the real server: its address and port instead of the virtual ones.
#[inline(always)]
fn nat<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &mut Forward<F>,
    server: &Server,
    hop: &Hop,
    reason: Reason,
) -> Option<Verdict> {
    if forward.route.source == Source::Client {
        forward.rewrite.source = forward.datagram.source;
        forward.rewrite.ports = forward.ports;
        if server.port.get() != 0 {
            forward.rewrite.ports.destination = server.port;
        }
    }
    forward.rewrite.destination = F::narrow(&server.address);
    tables.fence();
    if let Err(reason) = rewrite(packet, tables, forward) {
        return Some(Verdict::drop(reason));
    }
    leave(packet, forward, hop, reason)
}

/// Sends the packet as it is to the next hop.
#[inline(always)]
fn leave<F: Network, P: Packet>(
    packet: &mut P,
    forward: &Forward<F>,
    hop: &Hop,
    reason: Reason,
) -> Option<Verdict> {
    send(
        packet,
        &forward.ethernet,
        &egress::<P>(hop),
        F::ETHERTYPE,
        reason,
    )
}
