//! Sends a real server's reply to its client (NAT).

use super::context::Forward;
use super::icmp_answer::answer;
use super::icmp_error::IcmpError;
use super::nat::rewrite;
use super::transmit::send;
use crate::ethernet::Egress;
use crate::network::Network;
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// NAT towards the client: `rewrite` holds the virtual address and port that it asked for.
#[inline(never)]
pub(super) fn to_client<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &mut Forward<F>,
    client: &Egress,
) -> Verdict {
    if forward.datagram.hop_limit <= 1 {
        return answer(forward, IcmpError::TimeExceeded);
    }
    match rewrite(packet, tables, forward) {
        Ok(()) => send(
            packet,
            &forward.ethernet,
            client,
            F::ETHERTYPE,
            Reason::NatReply,
        )
        .unwrap_or(Verdict::drop(Reason::NoRoom)),
        Err(reason) => Verdict::drop(reason),
    }
}
