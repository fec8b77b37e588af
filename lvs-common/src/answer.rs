//! ICMP errors that the director sends to clients, as IPVS does.

use zerocopy::byteorder::network_endian::U32;

use crate::checksum::Sum;
use crate::link::Egress;
use crate::network::{Network, Outer, Part, Trouble};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::transmit::Forward;
use crate::verdict::{Reason, Verdict};
use crate::wire::Icmp;

/// Bytes of an ICMP header.
const ICMP: usize = 8;

/// Hop limit of what the director sends itself.
pub(crate) const HOP_LIMIT: u8 = 64;

/// Turns a packet into an ICMP error about itself and sends it back where it came from. `mtu` is what
/// would have fitted where it was too big.
#[inline(never)]
pub fn send<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &Forward<F>,
    trouble: Trouble,
    mtu: u32,
) -> Verdict {
    // RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e): never about an error or a later fragment.
    let about_one = forward.protocol.is_some() && forward.datagram.part != Part::Later;
    if !about_one || !is_from_one_host(forward) {
        return Verdict::drop(Reason::Unanswerable);
    }
    if trouble == Trouble::TooBig && mtu < F::SMALLEST_MTU {
        return Verdict::drop(Reason::Unanswerable);
    }
    if !tables.may_answer(forward.now) {
        return Verdict::drop(Reason::AnswerLimited);
    }
    write(packet, forward, trouble, mtu).unwrap_or(Verdict::drop(Reason::NoRoom))
}

/// Whether a packet comes from a single host, and came to this one alone.
#[inline(always)]
pub(crate) fn is_from_one_host<F: Network>(forward: &Forward<F>) -> bool {
    let [first, ..] = forward.link.destination;
    first & 1 == 0 && !F::is_martian(&forward.datagram.source)
}

/// The way back to where a packet came from.
#[inline(always)]
pub(crate) fn back<F: Network, P: Packet>(packet: &P, forward: &Forward<F>) -> Egress {
    Egress {
        destination: forward.link.source,
        source: forward.link.destination,
        tags: forward.link.tags,
        interface: packet.interface(),
    }
}

#[inline(always)]
fn write<F: Network, P: Packet>(
    packet: &mut P,
    forward: &Forward<F>,
    trouble: Trouble,
    mtu: u32,
) -> Option<Verdict> {
    let datagram = &forward.datagram;
    let link = forward.link.payload;
    // Whole words only: at most three bytes of the client's own data are missing.
    let embedded = (datagram.length() as usize).min(F::LARGEST_ERROR - F::HEADER - ICMP) & !3;
    packet.grow(F::HEADER + ICMP)?;
    packet.truncate(link + F::HEADER + ICMP + embedded)?;

    #[expect(clippy::cast_possible_truncation, reason = "at most 1,280")]
    let payload = (ICMP + embedded) as u32;
    let (kind, code, rest) = F::icmp_error(trouble, mtu);
    let start = link + F::HEADER;
    let header: &mut Icmp = packet.header_mut(start)?;
    header.kind = kind;
    header.code = code;
    header.checksum = [0; 2];
    header.rest = U32::new(rest);
    let pseudo = F::icmp_pseudo(&datagram.destination, &datagram.source, payload);
    let checksum = sum(packet, start, payload as usize, pseudo)?.checksum();
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
    back(packet, forward).write(packet, F::ETHERTYPE)?;
    let reason = match trouble {
        Trouble::TimeExceeded => Reason::TimeExceeded,
        Trouble::TooBig => Reason::TooBig,
        Trouble::PortUnreachable => Reason::NoServer,
    };
    Some(Verdict::transmit(reason))
}

/// Adds up whole words.
#[inline(always)]
fn sum<P: Packet>(packet: &P, start: usize, bytes: usize, from: Sum) -> Option<Sum> {
    let mut total = from;
    let mut offset = 0;
    while offset < 1280 && offset < bytes {
        total = total.add(*packet.header(start + offset)?);
        offset += 4;
    }
    Some(total)
}
