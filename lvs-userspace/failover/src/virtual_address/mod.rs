//! The virtual addresses of a pair of directors: whoever is master holds them, and says so on the network.
//!
//! All of a director are one group and move together: the virtual addresses of services, and the
//! address that real servers behind NAT have as their gateway.
//!
//! The kernel keeps who added an address (`IFA_PROTO`). What somebody else added is left alone, and what
//! an lvsd added that was killed is known as its own by the next.

mod frame;
mod hold;
mod keep;
mod place;
mod port;
mod rival;

use std::time::Duration;

use lvs_common::abi::Mac;

pub use hold::HoldError;
pub(crate) use hold::release;
pub(crate) use keep::Keeper;

/// When held addresses are announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcing {
    /// So many times for a round.
    pub count: u32,
    /// So long from one to the next.
    pub interval: Duration,
    /// So long from one round to the next; zero: once, when the addresses are taken.
    pub repeat: Duration,
}

/// An Ethernet address as it is read.
fn spell(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
