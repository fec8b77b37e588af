//! The last step of a forwarded packet: decrements its TTL or hop limit, writes the Ethernet header and sends it.

use super::context::Forward;
use crate::abi::Hop;
use crate::ethernet::{Egress, EthernetHeader, UNTAGGED, make_room};
use crate::network::Network;
use crate::packet::Packet;
use crate::verdict::{Reason, Verdict};

/// The way to a next hop.
#[inline(always)]
pub(super) fn egress(hop: &Hop) -> Egress {
    Egress {
        destination: hop.destination,
        source: hop.source,
        tags: [hop.vlan, UNTAGGED[1]],
        interface: hop.interface,
    }
}

/// Decrements the TTL or hop limit of a packet; the caller checked that it is above one.
#[inline(always)]
pub(super) fn decrement_ttl<F: Network, P: Packet>(
    packet: &mut P,
    forward: &Forward<F>,
) -> Option<()> {
    F::decrement_ttl(packet.header_mut(forward.datagram.network)?);
    Some(())
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
    make_room(packet, ethernet.payload, egress.tags, 0)?;
    egress.write(packet, ethertype)?;
    Some(egress.verdict(packet, reason))
}
