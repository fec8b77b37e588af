//! The last step of a forwarded packet: decrements its TTL or hop limit, writes the Ethernet header and sends it.

use super::context::Forward;
use crate::abi::Hop;
use crate::checksum::Sum;
use crate::ethernet::{Egress, EthernetHeader, Room, UNTAGGED, make_room};
use crate::network::Network;
use crate::packet::Packet;
use crate::verdict::{Reason, Verdict};

/// The way to a next hop. A socket buffer leaves by the interface that the route names, which adds whatever it
/// has to, a frame by the one that transmits it.
#[inline(always)]
pub(super) fn egress<P: Packet>(hop: &Hop) -> Egress {
    let (interface, tags) = if P::BUFFER && hop.device != 0 && hop.device != hop.interface {
        (hop.device, UNTAGGED)
    } else {
        (hop.interface, [hop.vlan, UNTAGGED[1]])
    };
    Egress {
        ethernet: hop.ethernet,
        tags,
        interface,
    }
}

/// Decrements the TTL or hop limit of a packet; the caller checked that it is above one.
#[inline(always)]
pub(super) fn decrement_ttl<F: Network, P: Packet>(
    packet: &mut P,
    forward: &Forward<F>,
) -> Option<()> {
    F::decrement_ttl(packet.header_mut(forward.datagram.network)?);
    note_decrement::<F, P>(packet);
    Some(())
}

/// IPv4's own checksum makes up for a TTL, nothing does for a hop limit.
#[inline(always)]
pub(super) fn note_decrement<F: Network, P: Packet>(packet: &mut P) {
    if P::BUFFER && F::NUMBER == 6 {
        packet.note_change(Sum::default().remove_field([0, 1]));
    }
}

/// Writes the Ethernet header and sends the packet.
#[inline(always)]
pub(super) fn send<P: Packet>(
    packet: &mut P,
    ethernet: &EthernetHeader,
    egress: &Egress,
    ethertype: u16,
    reason: Reason,
) -> Option<Verdict> {
    make_room(packet, ethernet.payload, egress.tags, Room::NONE)?;
    egress.write(packet, ethertype)?;
    Some(egress.verdict(packet, reason))
}
