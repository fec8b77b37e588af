//! Connections of two directors kept in step, so that either can go on with those of the other.

mod check;
mod discard;
mod receive;
mod take;
pub mod wire;

pub use discard::{Discard, Discarded};
pub use receive::{Received, Receiver};
