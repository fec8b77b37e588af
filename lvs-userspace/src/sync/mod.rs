//! Connections of two directors kept in step, so that either can go on with those of the other.

mod discard;
pub mod wire;

pub use discard::{Discard, Discarded};
