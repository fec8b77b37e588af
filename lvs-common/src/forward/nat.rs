//! NAT: new addresses and ports, and all checksums over them. Plain packets get theirs in `fast_path/send.rs`.

use super::context::{Forward, Rewrite};
use super::transmit::decrement_ttl;
use crate::checksum::{Sum, SumChange};
use crate::connection::Protocol;
use crate::crc32c;
use crate::network::{Network, Part};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::Reason;
use crate::wire::{SCTP_CHECKSUM, TCP_CHECKSUM, UDP_CHECKSUM};

/// Replaces addresses and ports with all checksums over them, and decrements the TTL.
#[inline(never)]
pub(super) fn rewrite<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &mut Forward<F>,
) -> Result<(), Reason> {
    replace(packet, tables, forward).unwrap_or(Err(Reason::Truncated))
}

/// `None`: the packet ends before its headers do.
#[inline(always)]
fn replace<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &mut Forward<F>,
) -> Option<Result<(), Reason>> {
    let datagram = &forward.datagram;
    let Rewrite {
        source,
        destination,
        ports,
    } = &forward.rewrite;
    let has_ports = datagram.part != Part::Later;
    if let Some(protocol) = forward.protocol.filter(|_| has_ports) {
        let addresses = F::difference(datagram.addresses(), [source, destination]);
        let old = forward.ports.to_bytes();
        let fresh = ports.to_bytes();
        let change = SumChange {
            addresses,
            ports: difference(old, fresh),
            optional: protocol == Protocol::Udp,
            wide: F::NUMBER == 6,
        };
        match protocol {
            Protocol::Tcp => packet.change_sum(datagram.transport + TCP_CHECKSUM, &change)?,
            Protocol::Udp => packet.change_sum(datagram.transport + UDP_CHECKSUM, &change)?,
            Protocol::Sctp if old != fresh => {
                if datagram.part != Part::Whole {
                    // The CRC covers bytes that are in other fragments.
                    return Some(Err(Reason::NatImpossible));
                }
                let place = datagram.transport + SCTP_CHECKSUM;
                let crc: [u8; 4] = *packet.header(place)?;
                // The device that sends a socket buffer completes its CRC over whatever the ports are then; until
                // then it is zero.
                let unfinished = P::BUFFER && crc == [0; 4];
                #[expect(clippy::cast_possible_truncation, reason = "below 64 KiB")]
                let following = datagram.end.checked_sub(datagram.transport + 4)? as u32;
                if !unfinished {
                    let mut change = crc32c::Change::new(old, fresh);
                    tables.walk(following & 0xffff, &mut change);
                    let crc = change.apply(u32::from_le_bytes(crc));
                    *packet.header_mut(place)? = crc.to_le_bytes();
                }
            }
            Protocol::Sctp => {}
        }
        *packet.header_mut(datagram.transport)? = *ports;
    }
    F::readdress(packet, datagram, source, destination)?;
    decrement_ttl(packet, forward)?;
    Some(Ok(()))
}

/// The change of the ports; nothing where they stay.
#[inline(always)]
fn difference(old: [u8; 4], fresh: [u8; 4]) -> Sum {
    if old == fresh {
        Sum::default()
    } else {
        Sum::default().remove(old).add(fresh)
    }
}
