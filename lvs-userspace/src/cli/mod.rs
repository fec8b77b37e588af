//! `lvsadm`: everything `ipvsadm` does, said to `lvsd` over its control socket.
//!
//! Command lines become a [`command::Command`] ([`parse()`], [`restore`]); a session carries it out;
//! the listings print what comes back. Texts, formats and exit codes are ipvsadm's own, so that what
//! people and programs know of it stays true; where this differs, the place says why.

pub(crate) mod address;
pub mod command;
mod connections;
pub mod error;
mod failure;
mod help;
mod listing;
mod marks;
pub(crate) mod names;
mod number;
mod option;
mod order;
mod parse;
pub(crate) mod ports;
pub mod restore;
#[cfg(test)]
mod sample;
pub(crate) mod save;
pub(crate) mod scheduler_flags;
mod server;
mod service;
mod session;
mod status;
mod sync;
mod verdicts;
mod word;

pub use parse::parse;
pub use session::main;
