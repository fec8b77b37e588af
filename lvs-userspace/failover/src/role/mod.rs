//! The role of one of a pair of directors: the role in force, and how it changes.
//!
//! A director decides nothing about its role: Heartbeat, keepalived, Pacemaker or an operator does.
//!
//! - `roles`: the role in force, and the virtual addresses that go with it; `saved`: the file that keeps it.
//! - `handover`: the role goes to a peer on purpose.

pub mod handover;
mod roles;
mod saved;
#[cfg(test)]
mod tests;

pub use roles::{AddressGroup, RoleError, Roles};
