//! The packet that goes into a tunnel, and the sum over it, for a checksum outside.
//!
//! A TCP segment, or a UDP datagram with a checksum, sums up to nothing together with its pseudo-header (RFC 1071),
//! whoever finishes that checksum at last. So the headers say the sum, at the same cost for a packet of any length:
//! the kernel's "local checksum offload". The bytes of all other packets are read.

use crate::checksum::Sum;
use crate::network::Network;
use crate::packet::Packet;
use crate::walk::{Step, Walk};
use crate::wire::protocol;

/// Bytes that are read at once.
const CHUNK: usize = 64;

/// The most of them: a packet has at most 64 KiB.
const CHUNKS: u32 = 1024;

/// No sum: what a device writes into the packet later is not known.
const UNKNOWN: u64 = u64::MAX;

/// A packet that is put into another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct InnerPacket {
    /// Offset of its IP header.
    pub(super) network: usize,
    /// Offset of its transport header; 0: it is a fragment.
    pub(super) transport: usize,
    /// Its bytes.
    pub(super) length: u32,
    /// Hash of its flow.
    pub(super) hash: u64,
    /// The clock.
    pub(super) now: u32,
    /// Its TTL or hop limit, the hop that the director is included.
    pub(super) hop_limit: u8,
    /// Its transport protocol.
    pub(super) protocol: u8,
}

impl InnerPacket {
    /// Sum over it as it leaves; `None`: nobody can know it yet.
    #[inline(always)]
    pub(super) fn sum<F: Network, P: Packet, W: Walk>(&self, packet: &P, walker: W) -> Option<Sum> {
        let sum = sum::<F, P, W>(packet, walker, self);
        (sum != UNKNOWN).then_some(Sum(sum))
    }

    /// The same of a packet of which [`is_covered`] holds, without options and extension headers.
    #[inline(always)]
    pub(super) fn sum_by_headers<F: Network, P: Packet>(&self, packet: &P) -> Option<Sum> {
        let header = packet.header::<F::Header>(self.network)?;
        #[expect(clippy::cast_possible_truncation, reason = "20 or 40")]
        let payload = self.length.wrapping_sub(F::HEADER as u32);
        let [source, destination] = F::addresses(header);
        let pseudo = F::pseudo(&source, &destination, self.protocol, payload);
        Some(F::sum(header).add_field(pseudo.checksum()))
    }
}

/// True if a packet's transport checksum covers its whole IP payload of so many `bytes`. `length` and `checksum`: those
/// fields of a UDP header, network byte order.
#[inline(always)]
pub(super) fn is_covered(protocol: u8, bytes: u32, length: [u8; 2], checksum: [u8; 2]) -> bool {
    let datagram = u32::from(u16::from_be_bytes(length)) == bytes && checksum != [0; 2];
    protocol == protocol::TCP || protocol == protocol::UDP && datagram
}

/// The sum in one register.
#[inline(never)]
fn sum<F: Network, P: Packet, W: Walk>(packet: &P, walker: W, inner: &InnerPacket) -> u64 {
    let (network, transport) = (inner.network, inner.transport);
    // Its CRC may be left to the device, which is no part of any sum.
    if P::BUFFER && inner.protocol == protocol::SCTP {
        return UNKNOWN;
    }
    let headers = transport.wrapping_sub(network);
    #[expect(clippy::cast_possible_truncation, reason = "at most 511")]
    let payload = inner.length.wrapping_sub(headers as u32);
    let words = packet.header::<[u8; 8]>(transport);
    let covered = transport != 0
        && words.is_some_and(|&[_, _, _, _, a, b, c, d]| {
            is_covered(inner.protocol, payload, [a, b], [c, d])
        });
    let read = if covered {
        headers
    } else {
        inner.length as usize
    };
    let Some(mut sum) = sum_of_bytes(packet, walker, network, read) else {
        return UNKNOWN;
    };
    if covered {
        let Some(header) = packet.header::<F::Header>(network) else {
            return UNKNOWN;
        };
        let [source, destination] = F::addresses(header);
        let pseudo = F::pseudo(&source, &destination, inner.protocol, payload);
        sum = sum.add_field(pseudo.checksum());
    }
    u64::from(sum.folded_once())
}

/// Sum over so many bytes of a packet, one at least; `None`: it ends before.
#[inline(always)]
pub(super) fn sum_of_bytes<P: Packet, W: Walk>(
    packet: &P,
    walker: W,
    start: usize,
    bytes: usize,
) -> Option<Sum> {
    let mut reader = Reader {
        packet,
        start,
        bytes,
        sum: Sum::default(),
        complete: false,
    };
    walker.walk(CHUNKS, &mut reader);
    reader.complete.then_some(reader.sum)
}

/// A walk over the bytes of a packet. Its place follows from the turn: what a verifier has to know is the same in
/// each.
#[repr(C, align(8))]
struct Reader<'a, P> {
    packet: &'a P,
    start: usize,
    /// 1 at least.
    bytes: usize,
    sum: Sum,
    complete: bool,
}

impl<P: Packet> Step for Reader<'_, P> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let done = index as usize * CHUNK;
        let left = self.bytes.wrapping_sub(done);
        let mut chunk = [0_u64; CHUNK / 8];
        let copied = self
            .packet
            .copy(self.start + done, left.min(CHUNK), &mut chunk);
        if copied.is_none() {
            return false;
        }
        for word in chunk {
            // In two halves: a sum has room for carries of 32 bits.
            self.sum = Sum(self.sum.0 + (word & 0xffff_ffff) + (word >> 32));
        }
        self.complete = left <= CHUNK;
        !self.complete
    }
}
