//! ipvsadm's command line and output: command lines and saved lines are parsed into [`command::Command`]s, and
//! services, connections and sync daemons are printed as ipvsadm prints them.
//!
//! Texts and formats are ipvsadm's own to the byte, because people and programs rely on them; comments give the
//! reason for each difference. This crate knows the types of the control API, but neither client nor server.

pub mod address;
pub mod command;
pub mod connections;
mod edit_line;
pub mod error;
pub mod listing;
pub mod mark_options;
pub mod names;
pub mod netfilter;
mod number;
mod option;
mod parse;
pub mod ports;
pub mod proc;
pub mod proc_file;
pub mod restore;
#[cfg(test)]
mod sample;
pub mod save;
pub mod scheduler_flags;
mod server_options;
mod service_options;
pub mod sort;
pub mod sync;
mod word;

pub use edit_line::{edit_line, override_line, server_by_hand_line};
pub use option::{Completion, completions};
pub use parse::parse;
