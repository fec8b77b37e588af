//! ipvsadm's language: command lines and saved lines are parsed into [`command::Command`]s, and services,
//! connections and sync daemons are printed as ipvsadm prints them.
//!
//! Texts and formats are ipvsadm's own to the byte, because people and programs know them; where this
//! differs, the place says why. This crate knows the types of the control API and does no I/O on the
//! control socket: `lvsadm` does that.

pub mod address;
pub mod command;
pub mod connections;
pub mod error;
pub mod listing;
pub mod names;
pub mod netfilter;
mod number;
mod option;
pub mod order;
pub mod parse;
pub mod ports;
pub mod restore;
#[cfg(test)]
mod sample;
pub mod save;
pub mod scheduler_flags;
mod server;
mod service;
pub mod sync;
mod word;

pub use parse::parse;
