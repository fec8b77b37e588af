//! Transport headers: protocol, ports, and what a packet says about its connection. A packet of an unknown IP
//! protocol is the kernel's.

use super::context::{Forward, Wire};
use crate::aligned::Aligned;
use crate::connection::{Protocol, Signal, sctp, tcp};
use crate::family::Family;
use crate::network::{Network, Part};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::wire::{SCTP_CHUNK, TCP_OFFSET};

/// Reads the protocol, the ports and the signal of a packet, or returns the end of it.
#[inline(always)]
pub(super) fn transport<F: Network, P: Packet, T: Tables>(
    packet: &P,
    tables: T,
    forward: &mut Forward<F>,
) -> Result<Protocol, Verdict> {
    let datagram = &forward.datagram;
    let Some(protocol) = Protocol::from_number(datagram.protocol) else {
        return Err(Verdict::pass(Reason::OtherProtocol));
    };
    if datagram.part == Part::Later {
        forward.signal = Signal::Nothing;
        recall(tables, forward)?;
        return Ok(protocol);
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
    if P::BUFFER {
        let datagram = &forward.datagram;
        let own = match protocol {
            Protocol::Tcp => {
                let [offset, _]: [u8; 2] = *packet.header(place + TCP_OFFSET).ok_or(cut_short)?;
                usize::from(offset >> 4) << 2
            }
            Protocol::Udp => 8,
            Protocol::Sctp => 12,
        };
        #[expect(clippy::cast_possible_truncation, reason = "headers are short")]
        let headers = (datagram.transport + own).wrapping_sub(datagram.network) as u32;
        let (segment, packets) = (packet.segment(), packet.packets());
        forward.wire = Wire::of(segment, packets, datagram.length(), headers, protocol);
    }
    Ok(protocol)
}

/// Remembers the ports of a first fragment for the later ones.
#[inline(never)]
fn remember<F: Family, T: Tables>(tables: T, forward: &Forward<F>) {
    tables.remember(&Aligned(forward.datagram.fragment_key()).0, forward.ports);
}

/// Recalls the ports of a later fragment. Ports of 0 say that the first one was waited for in vain.
#[inline(never)]
fn recall<F: Family, T: Tables>(tables: T, forward: &mut Forward<F>) -> Result<(), Verdict> {
    match tables.recall(&Aligned(forward.datagram.fragment_key()).0) {
        Some(ports) if ports.to_bytes() == [0; 4] => Err(Verdict::pass(Reason::StrayFragment)),
        Some(ports) => {
            forward.ports = ports;
            Ok(())
        }
        None => Err(Verdict::HOLD),
    }
}
