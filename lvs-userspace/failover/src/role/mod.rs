//! The role of one of a pair of directors: the role in force, and how it changes.
//!
//! A director decides nothing about its role: Heartbeat, keepalived, Pacemaker or an operator does. But it begins as
//! backup beside a master, and a master that is stopped does not keep its addresses.
//!
//! - `roles`: the role in force, and the virtual addresses that go with it; `saved`: the file that keeps it.
//! - `command`: the role by order of an operator. `handover`: the role goes to a peer on purpose.
//! - `start`: the role to begin in, beside others; `stop`: what becomes of it when the director ends.

pub mod command;
pub mod handover;
mod roles;
mod saved;
pub mod start;
pub mod stop;
#[cfg(test)]
mod tests;

pub use roles::{AddressGroup, RoleError, Roles};
