//! Connections: what identifies one, how an entry of the table looks, and the states it goes through.
//!
//! # The hash
//!
//! NH: a sum of 32x32 to 64 bit products of key words plus secrets, universal for whoever chooses keys
//! without sight of the secrets. The bare sum followed by one multiplication spreads regular key
//! sets (sequential addresses, port blocks) badly for some secrets, so two multiplications with a
//! fold between them follow. The upper half of the result chooses the first set, the lower half the
//! second one, the way to look at first and the fingerprint.

mod direction;
mod entry;
mod entry_id;
mod first_state;
mod half_open;
mod key;
mod load;
mod protocol;
mod reuse;
pub mod sctp;
mod servers;
mod signal;
mod step;
pub mod table;
mod tag;
pub mod tcp;
pub mod template;
mod timeouts;
pub mod udp;

pub use direction::Direction;
pub use entry::{Client, Entry, Record};
pub use entry_id::EntryId;
pub use first_state::FirstState;
pub use half_open::{MAX_HALF_OPEN, half_open};
pub use key::{Key, Kind};
pub use load::{Loads, Share, share};
pub use protocol::Protocol;
pub use servers::Servers;
pub use signal::Signal;
pub use step::{resume, step};
pub use tag::Tag;

pub use crate::wire::Ports;
