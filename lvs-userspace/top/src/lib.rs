//! The screen of `lvsadm top`: services, real servers, health checks, verdicts, tables and peers of a running
//! director, by rate.
//!
//! ```text
//!  fetch: asks lvsd ──┐ answers
//!  crossterm: keys ───┼─────────► app::App::update ─► draw::draw, or plain::write
//!  signals ───────────┘           (state, no I/O)      (text::Text only: nothing that controls a terminal)
//! ```

mod app;
mod draw;
mod fetch;
mod help;
mod number;
mod options;
mod plain;
mod rate;
mod run;
#[cfg(test)]
mod sample;
mod screen;
mod signals;
mod snapshot;
mod style;
mod table;
mod text;
mod view;

pub use self::options::{Options, Tab};
pub use self::run::{Connector, Ended, TopError, once, run};
