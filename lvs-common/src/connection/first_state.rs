//! First states of connections.

use super::direction::Direction;
use super::half_open::half_open;
use super::protocol::Protocol;
use super::signal::Signal;
use super::udp;
use crate::abi::Method;

/// The state of a connection after its first packet.
#[derive(Clone, Copy, Debug)]
pub struct FirstState {
    /// As its protocol numbers states.
    pub number: u8,
    /// True if it may be recycled.
    pub half_open: bool,
}

impl FirstState {
    /// After this packet, that goes to its server by this method.
    #[inline(always)]
    pub fn after(protocol: Protocol, signal: Signal, method: Method) -> Self {
        let number = signal.next(Direction::from_client(method), udp::NORMAL);
        Self {
            number,
            half_open: protocol == Protocol::Udp || half_open(protocol, number),
        }
    }
}
