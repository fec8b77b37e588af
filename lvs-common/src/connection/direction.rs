//! Directions, as IPVS's state tables know them.

use crate::abi::Method;

/// The direction of a packet, which selects one of IPVS's state tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// From the client, replies are seen too (NAT).
    Input = 0,
    /// From the real server (NAT).
    Output = 1,
    /// From the client, replies bypass the director (direct, tunnel).
    InputOnly = 2,
}

impl Direction {
    /// The direction of a client's packets, by the method that they are forwarded with.
    #[inline(always)]
    pub fn from_client(method: Method) -> Self {
        if method == Method::Nat {
            Self::Input
        } else {
            Self::InputOnly
        }
    }
}
