//! ICMP answers: errors that the director sends to clients, as IPVS does, at a limited rate.

use zerocopy::byteorder::network_endian::U32;

use super::context::Forward;
use super::icmp_error::{Answer, IcmpError};
use super::unfinished::unfinished_sum;
use crate::abi::Hop;
use crate::checksum::Sum;
use crate::connection::Protocol;
use crate::ethernet::{EthernetHeader, is_group, make_answer_room, turn_back};
use crate::network::{Network, Outer, Part};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::wire::{Icmp, TCP_CHECKSUM, UDP_CHECKSUM};

/// Bytes of an ICMP header.
const ICMP: usize = size_of::<Icmp>();

/// Hop limit of what the director sends itself.
pub(super) const HOP_LIMIT: u8 = 64;

/// Has a packet answered with an error.
#[inline(always)]
pub(super) const fn answer<F: Network>(forward: &mut Forward<F>, error: IcmpError) -> Verdict {
    forward.answer = Answer::new::<F>(error, 0);
    Verdict::ANSWER
}

/// The same for a packet that a hop does not take: it is larger than this, or the hop leads nowhere.
#[inline(always)]
pub(super) const fn answer_too_big<F: Network>(
    forward: &mut Forward<F>,
    hop: &Hop,
    mtu: u32,
) -> Verdict {
    if hop.flags & Hop::UNREACHABLE != 0 {
        return answer(forward, IcmpError::HostUnreachable);
    }
    if mtu < F::SMALLEST_MTU {
        return Verdict::drop(Reason::Unanswerable);
    }
    forward.answer = Answer::new::<F>(IcmpError::TooBig, mtu);
    Verdict::ANSWER
}

/// Turns a packet into the ICMP error [`Forward::answer`] about itself and sends it back where it came from.
#[inline(never)]
pub(super) fn send<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &Forward<F>,
) -> Verdict {
    // RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e): never about an error or a later fragment.
    let about_one = forward.protocol.is_some() && forward.datagram.part != Part::Later;
    if !about_one || !is_from_one_host(forward) {
        return Verdict::drop(Reason::Unanswerable);
    }
    if !tables.spend_icmp_budget(forward.now) {
        return Verdict::drop(Reason::AnswerLimited);
    }
    write(packet, forward).unwrap_or(Verdict::drop(Reason::NoRoom))
}

/// Returns whether a packet comes from a single host, and came to this one alone.
#[inline(always)]
pub(super) fn is_from_one_host<F: Network>(forward: &Forward<F>) -> bool {
    let EthernetHeader {
        source, payload, ..
    } = &forward.ethernet;
    // Where there is no link header nobody is named.
    let named = *payload == 0 || *source != [0; 6];
    let alone = named && !forward.ethernet.is_for_group() && !is_group(source);
    alone && !F::is_martian(&forward.datagram.source)
}

#[inline(always)]
fn write<F: Network, P: Packet>(packet: &mut P, forward: &Forward<F>) -> Option<Verdict> {
    let datagram = &forward.datagram;
    // Whole words only: at most three bytes of the client's own data are missing.
    let embedded = (datagram.length() as usize).min(F::LARGEST_ERROR - F::HEADER - ICMP) & !3;
    let behind = datagram.transport.wrapping_sub(datagram.network);
    // That of SCTP is no sum: an answer about a packet whose CRC is not finished has a wrong checksum in the end.
    let place = match forward.protocol {
        Some(Protocol::Tcp) => TCP_CHECKSUM,
        _ => UDP_CHECKSUM,
    };
    let has_sum = forward.protocol != Some(Protocol::Sctp) && behind + place < embedded;
    let unfinished = if P::BUFFER && has_sum {
        unfinished_sum(packet, datagram.transport + place)
    } else {
        None
    };
    let room = F::HEADER + ICMP;
    let link = make_answer_room(packet, forward.ethernet.payload, room, embedded)?;

    #[expect(clippy::cast_possible_truncation, reason = "at most 1,280")]
    let payload = (ICMP + embedded) as u32;
    let start = link + F::HEADER;
    let header: &mut Icmp = packet.header_mut(start)?;
    header.kind = forward.answer.kind;
    header.code = forward.answer.code;
    header.checksum = [0; 2];
    header.rest = U32::new(forward.answer.rest);
    let pseudo = F::icmp_pseudo(&datagram.destination, &datagram.source, payload);
    let (summed, pseudo) = match unfinished {
        None => (payload as usize, pseudo),
        // Together with the checksum over it that the device writes, what is behind the IP header sums up to this.
        Some(sum) => (ICMP + behind, pseudo.add_field(sum.map(|byte| !byte))),
    };
    let checksum = sum(packet, start, summed, pseudo)?.checksum();
    packet.header_mut::<Icmp>(start)?.checksum = checksum;

    F::write_outer(
        packet,
        link,
        &Outer {
            source: &datagram.destination,
            destination: &datagram.source,
            protocol: F::ICMP,
            class: 0,
            hop_limit: HOP_LIMIT,
            dont_fragment: false,
            identification: 0,
            payload,
        },
    )?;
    turn_back(packet, &forward.ethernet, F::ETHERTYPE)?;
    Some(Verdict::transmit_because(forward.answer.reason))
}

/// Adds up whole words.
#[inline(always)]
pub(super) fn sum<P: Packet>(packet: &P, start: usize, bytes: usize, from: Sum) -> Option<Sum> {
    // A compiler that knows how many leaves out the bound that Linux 6.1's verifier sees the end by.
    let bytes = core::hint::black_box(bytes);
    let mut total = from;
    let mut offset = 0;
    while offset < 1280 && offset < bytes {
        total = total.add(*packet.header(start + offset)?);
        offset += 4;
    }
    Some(total)
}
