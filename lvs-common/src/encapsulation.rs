//! The headers of GUE and GRE, between the outer IP header of a tunnel and the packet inside.

use zerocopy::byteorder::network_endian::U16;

use crate::abi::Encapsulation;
use crate::checksum::Sum;
use crate::network::{Network, Outer};
use crate::packet::Packet;
use crate::wire::{Gre, GreChecksum, Gue, Ports, protocol};

const _: () = {
    assert!(Encapsulation::GUE.overhead() == size_of::<Gue>());
    assert!(Encapsulation::GRE.overhead() == size_of::<Gre>());
    let with_checksum = size_of::<Gre>() + size_of::<GreChecksum>();
    assert!(Encapsulation::GRE.with_checksum().overhead() == with_checksum);
};

/// IP protocol number of the outer packet's payload; `inside`: that of the packet inside.
#[inline(always)]
pub(crate) const fn payload_protocol(encapsulation: Encapsulation, inside: u8) -> u8 {
    if encapsulation.kind().to_bits() == Encapsulation::GUE.to_bits() {
        protocol::UDP
    } else if encapsulation.kind().to_bits() == Encapsulation::GRE.to_bits() {
        protocol::GRE
    } else {
        inside
    }
}

/// The values of a header that its encapsulation does not say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    /// UDP source port, host order.
    pub(crate) source_port: u16,
    /// Sum over the packet inside, if there is a checksum over it.
    pub(crate) sum: Option<Sum>,
}

/// Writes the header of GUE or GRE at an offset. `port`: UDP destination port.
#[inline(always)]
pub(crate) fn write<F: Network, O: Network, P: Packet>(
    packet: &mut P,
    offset: usize,
    encapsulation: Encapsulation,
    port: U16,
    outer: &Outer<'_, O>,
    layer: &Layer,
) -> Option<()> {
    let written = if encapsulation.kind() == Encapsulation::GUE {
        let ports = Ports {
            source: U16::new(layer.source_port),
            destination: port,
        };
        write_gue::<F, O, P>(packet, offset, ports, outer, layer)?
    } else {
        write_gre::<F, P>(packet, offset, layer)?
    };
    packet.note_change(written);
    Some(())
}

/// Returns the sum over the header.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the caller keeps packets below 64 KiB"
)]
fn write_gue<F: Network, O: Network, P: Packet>(
    packet: &mut P,
    offset: usize,
    ports: Ports,
    outer: &Outer<'_, O>,
    layer: &Layer,
) -> Option<Sum> {
    let header: &mut Gue = packet.header_mut(offset)?;
    header.ports = ports;
    header.length = U16::new(outer.payload as u16);
    header.checksum = [0; 2];
    header.version_length = 0;
    header.protocol = F::INSIDE;
    header.flags = U16::ZERO;
    let sum = Sum::default()
        .add(ports.to_bytes())
        .add_field(header.length.to_bytes())
        .add_field([0, F::INSIDE]);
    let Some(inner) = layer.sum else {
        return Some(sum);
    };
    let pseudo = O::pseudo(
        outer.source,
        outer.destination,
        outer.protocol,
        outer.payload,
    );
    // RFC 768: zero says that there is none.
    header.checksum = match sum.join(pseudo).join(inner).checksum() {
        [0, 0] => [0xff, 0xff],
        checksum => checksum,
    };
    Some(sum.add_field(header.checksum))
}

/// Returns the sum over the header.
#[inline(always)]
fn write_gre<F: Network, P: Packet>(packet: &mut P, offset: usize, layer: &Layer) -> Option<Sum> {
    let flags = if layer.sum.is_some() {
        Gre::CHECKSUM
    } else {
        0
    };
    let header: &mut Gre = packet.header_mut(offset)?;
    header.flags = U16::new(flags);
    header.protocol = U16::new(F::ETHERTYPE);
    let sum = Sum::default()
        .add_field(header.flags.to_bytes())
        .add_field(header.protocol.to_bytes());
    let Some(inner) = layer.sum else {
        return Some(sum);
    };
    let header: &mut GreChecksum = packet.header_mut(offset + size_of::<Gre>())?;
    header.checksum = sum.join(inner).checksum();
    header.reserved = [0; 2];
    Some(sum.add_field(header.checksum))
}
