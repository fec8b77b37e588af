//! Half-open connections: which are, and how many the table takes before it recycles them.
//!
//! A flood of SYNs from invented addresses leaves a half-open connection of each. They may fill half of a
//! set; from there on each new one takes the place of an older one, so that established connections and
//! their newcomers keep the other half.

use super::protocol::Protocol;
use super::{sctp, tcp};
use crate::abi::WAYS;

/// Half-open ways a set may hold before a new half-open connection recycles one of them.
pub const MAX_HALF_OPEN: u32 = WAYS / 2;

/// Returns whether a connection may be recycled when a set is short of room. A UDP flow may until its second
/// packet (or its first reply): a flood of single datagrams cannot push others out.
#[inline(always)]
pub const fn half_open(protocol: Protocol, state: u8) -> bool {
    match protocol {
        Protocol::Tcp => tcp::State::from_raw(state).half_open(),
        Protocol::Udp => false,
        Protocol::Sctp => {
            !sctp::State::from_raw(state).active() && state < sctp::State::Established as u8
        }
    }
}
