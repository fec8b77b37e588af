//! The synchronization protocol of Linux' IPVS on the wire, versions 0 and 1.
//!
//! A message is one datagram: a header and up to 255 entries, each a connection or a template. Nothing
//! acknowledges, encrypts or authenticates it, so whoever can reach the port can send anything: every
//! length here is checked, and what is malformed is a [`Discard`](crate::discard::Discard).

mod entry;
mod flags;
mod message;
mod packer;
#[cfg(test)]
pub(super) mod tests;
mod version0;
mod version1;

pub use entry::{Engine, Sequence, Sequences, SyncEntry};
pub use flags::Flags;
pub use message::{Entries, Message};
pub use packer::{Packer, Version};
