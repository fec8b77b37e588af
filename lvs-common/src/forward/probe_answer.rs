//! Answers to the daemon's probes on the service path, see [`crate::probe`].

use super::transmit::send;
use super::work::Work;
use crate::abi::EthernetAddresses;
use crate::connection::{Key, Kind};
use crate::ethernet::{Egress, UNTAGGED};
use crate::network::Network;
use crate::packet::Packet;
use crate::probe::{echo_ports, route};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// Makes the key of a work that of an echo reply.
#[inline(always)]
pub(super) fn echo_key<F: Network, P: Packet>(packet: &P, work: &mut Work<F>) -> Option<()> {
    let datagram = &work.forward.datagram;
    work.key = Key {
        source: datagram.source,
        destination: datagram.destination,
        ports: echo_ports(packet, datagram.transport)?.reversed(),
        protocol: datagram.protocol,
        kind: Kind::Reply as u8,
    };
    Some(())
}

/// Hands a packet that belongs to no connection to the probe that waits for it. If there is none, the
/// work's verdict is the end of it. The work's key is the packet's own, or that of the answer which the
/// packet inside an ICMP error will not get.
#[inline(never)]
pub(super) fn probe_answer<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    work: &Work<F>,
) -> Verdict {
    let Some(route) = route(tables, &work.key) else {
        return work.verdict;
    };
    let ethernet = &work.forward.ethernet;
    let egress = Egress {
        ethernet: EthernetAddresses::new(route.probe_mac, ethernet.destination),
        tags: UNTAGGED,
        interface: route.probe_interface,
    };
    send(packet, ethernet, &egress, F::ETHERTYPE, Reason::Probe)
        .unwrap_or(Verdict::drop(Reason::NoRoom))
}
