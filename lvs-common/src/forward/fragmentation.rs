//! IPv4 packets that are larger than the way to their server and may be fragmented: the daemon does that, and the
//! fragments come through here again (IPVS leaves it to the kernel's `ip_fragment`).

use super::context::Forward;
use super::unfinished::unfinished_sum;
use crate::abi::HeldFrame;
use crate::connection::Protocol;
use crate::family::{Family as _, V4};
use crate::network::{Network, Part};
use crate::packet::Packet;
use crate::wire::{TCP_CHECKSUM, UDP_CHECKSUM};

/// Gives the daemon a packet that is to be answered, if it is too big and may be fragmented. True: that was its
/// end.
#[inline(never)]
pub(super) fn fragment<F: Network, P: Packet>(packet: &mut P, forward: &Forward<F>) -> bool {
    let mtu = forward.answer.mtu();
    if F::NUMBER != V4::NUMBER || mtu == 0 || forward.protocol.is_none() {
        return false;
    }
    let Some(header) = packet.header::<F::Header>(forward.datagram.network) else {
        return false;
    };
    let (_, dont_fragment) = F::class(header);
    if dont_fragment {
        return false;
    }
    let place = match forward.protocol {
        Some(Protocol::Tcp) => Some(TCP_CHECKSUM),
        Some(Protocol::Udp) => Some(UDP_CHECKSUM),
        // That of SCTP is no sum: whoever leaves it to a device sets the bit for "don't fragment", too.
        _ => None,
    };
    let unfinished = match place {
        Some(place) if P::BUFFER && forward.datagram.part == Part::Whole => {
            unfinished_sum(packet, forward.datagram.transport + place).is_some()
        }
        _ => false,
    };
    let unfinished = if unfinished {
        u32::from(HeldFrame::UNFINISHED)
    } else {
        0
    };
    packet.hold(mtu & 0x7fff | unfinished)
}
