//! IPv4 packets that are larger than the way to their server and may be fragmented: the daemon does that, and the
//! fragments come through here again (IPVS leaves it to the kernel's `ip_fragment`).

use super::context::Forward;
use crate::family::{Family as _, V4};
use crate::network::Network;
use crate::packet::Packet;

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
    !dont_fragment && packet.hold(mtu)
}
