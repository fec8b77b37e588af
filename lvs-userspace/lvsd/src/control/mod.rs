//! The server of the control API: HTTP with JSON over a Unix socket, and over TCP with rights ([`web`]).
//!
//! [`server`] serves each route of [`lvs_api::route`] by a handler of the files beside it, from the daemon's
//! state ([`state`]).

mod answer;
mod clients;
mod consent;
mod daemon;
mod filters;
mod health;
mod replication;
mod role;
mod server;
mod socket;
mod state;
mod tables;
mod trace;
mod tracer;
mod web;
mod why;

pub(crate) use self::consent::{OwnConsent, refresh_agreement};
pub(crate) use self::server::serve;
pub(crate) use self::socket::{Claim, Socket};
pub(crate) use self::state::{Control, Reload};
pub(crate) use self::tracer::Tracer;
pub(crate) use self::web::serve_http;
