//! TCP resets that the director sends to clients of servers that are down, and to these servers.

use zerocopy::byteorder::network_endian::{U16, U32};

use super::context::{Forward, Wire};
use super::icmp_answer::{HOP_LIMIT, is_from_one_host};
use super::stage::Stage;
use super::unfinished::unfinished_sum;
use super::work::Work;
use crate::abi::HeldFrame;
use crate::connection::{Ports, tcp};
use crate::ethernet::{Room, UNTAGGED, make_room, turn_back};
use crate::network::{Network, Outer, Part};
use crate::packet::Packet;
use crate::verdict::{Reason, Verdict};
use crate::wire::{TCP_CHECKSUM, Tcp, protocol};

/// Bytes of a TCP header without options.
const LENGTH: u8 = 20;

/// Turns a client's segment into the reset that a closed port would answer it with, and sends that back.
///
/// It carries the very number that the client expects next (RFC 9293 section 3.10.7.1), so that the
/// client believes it (RFC 5961 section 3.2).
#[inline(never)]
pub(super) fn send<F: Network, P: Packet>(packet: &mut P, forward: &Forward<F>) -> Verdict {
    if !is_from_one_host(forward) {
        return Verdict::drop(Reason::ServerDown);
    }
    answer(packet, forward).unwrap_or(Verdict::drop(Reason::ServerDown))
}

#[inline(always)]
fn answer<F: Network, P: Packet>(packet: &mut P, forward: &Forward<F>) -> Option<Verdict> {
    let datagram = &forward.datagram;
    let segment: &Tcp = packet.header(datagram.transport)?;
    // A segment that acknowledges nothing is part of no connection.
    if segment.flags & tcp::FLAG_ACK == 0 {
        return None;
    }
    let reset = Reset {
        source: datagram.destination,
        destination: datagram.source,
        ports: segment.ports.reversed(),
        sequence: segment.acknowledgement,
        hop_limit: HOP_LIMIT,
        back: true,
    };
    write(packet, forward, &reset)?;
    turn_back(packet, &forward.ethernet, F::ETHERTYPE)?;
    Some(Verdict::transmit(Reason::Reset))
}

/// Turns a client's segment into a reset of its connection that goes to the server by the packet's route. One that
/// cannot be is answered with a reset instead.
///
/// The segment comes in once more, to be answered: its client may have nothing else to send, since a server that was
/// reset sends nothing more that is to be acknowledged. Where it cannot, and the client will not repeat it
/// (RFC 9293 section 3.8.1), the client is told first; a server that is still sending is then reset by its client.
#[inline(never)]
pub(super) fn for_server<F: Network, P: Packet>(packet: &mut P, work: &mut Work<F>) -> Stage {
    let forward = &mut work.forward;
    let comes_again = packet.hold(HeldFrame::AGAIN.into()) || is_repeated(packet, forward);
    if !comes_again || become_reset(packet, forward).is_none() {
        return Stage::Reset;
    }
    let datagram = &mut forward.datagram;
    datagram.transport = datagram.network + F::HEADER;
    datagram.end = datagram.transport + usize::from(LENGTH);
    datagram.part = Part::Whole;
    forward.wire = Wire::one(datagram.length());
    Stage::ToServer
}

/// Returns whether a client repeats a segment until it is acknowledged.
#[inline(always)]
fn is_repeated<F: Network, P: Packet>(packet: &P, forward: &Forward<F>) -> bool {
    let datagram = &forward.datagram;
    let segment: Option<&Tcp> = packet.header(datagram.transport);
    segment.is_some_and(|segment| {
        let header = usize::from(segment.offset >> 4) * 4;
        segment.flags & tcp::FLAG_FIN != 0 || datagram.end > datagram.transport + header
    })
}

#[inline(always)]
fn become_reset<F: Network, P: Packet>(packet: &mut P, forward: &Forward<F>) -> Option<()> {
    let datagram = &forward.datagram;
    let segment: &Tcp = packet.header(datagram.transport)?;
    let reset = Reset {
        source: datagram.source,
        destination: datagram.destination,
        ports: segment.ports,
        sequence: segment.sequence,
        hop_limit: datagram.hop_limit,
        back: false,
    };
    write(packet, forward, &reset)
}

/// The addresses, ports, sequence number and hop limit of a TCP reset.
struct Reset<F: Network> {
    source: F::Address,
    destination: F::Address,
    ports: Ports,
    sequence: U32,
    hop_limit: u8,
    /// It goes back to where the segment came from, with a link header of its own.
    back: bool,
}

/// Turns a segment into a reset. `None`: it cannot be one; then nothing was changed, unless the packet is too short.
#[inline(always)]
fn write<F: Network, P: Packet>(
    packet: &mut P,
    forward: &Forward<F>,
    what: &Reset<F>,
) -> Option<()> {
    let datagram = &forward.datagram;
    let (ports, sequence) = (what.ports, what.sequence);
    let place = datagram.transport + TCP_CHECKSUM;
    let unfinished = unfinished_sum(packet, place).is_some();
    let payload = forward.ethernet.payload;
    let mut end = payload + F::HEADER + usize::from(LENGTH);
    // The kernel keeps the place of a checksum that is to be finished. Behind options it lies in padding.
    let finishes_reset = unfinished && datagram.transport == payload + F::HEADER;
    if unfinished && !finishes_reset && !what.back {
        return None;
    }
    if unfinished && !finishes_reset {
        end = end.max(place + 2);
    }
    packet.truncate(end)?;
    let network = if P::BUFFER && what.back {
        make_room(packet, payload, UNTAGGED, Room::NONE)?
    } else {
        payload
    };
    let transport = network + F::HEADER;

    let reset: &mut Tcp = packet.header_mut(transport)?;
    reset.ports = ports;
    reset.sequence = sequence;
    reset.acknowledgement = U32::ZERO;
    reset.offset = LENGTH << 2;
    reset.flags = tcp::FLAG_RST;
    reset.window = U16::ZERO;
    reset.urgent = U16::ZERO;
    let pseudo = F::pseudo(
        &what.source,
        &what.destination,
        protocol::TCP,
        u32::from(LENGTH),
    );
    reset.checksum = if finishes_reset {
        pseudo.checksum().map(|byte| !byte)
    } else {
        pseudo
            .add(ports.to_bytes())
            .add(sequence.to_bytes())
            .add([LENGTH << 2, tcp::FLAG_RST, 0, 0])
            .checksum()
    };
    F::write_outer(
        packet,
        network,
        &Outer {
            source: &what.source,
            destination: &what.destination,
            protocol: protocol::TCP,
            class: 0,
            hop_limit: what.hop_limit,
            dont_fragment: true,
            // RFC 6864: means nothing while the packet may not be fragmented.
            identification: 0,
            payload: u32::from(LENGTH),
        },
    )
}
