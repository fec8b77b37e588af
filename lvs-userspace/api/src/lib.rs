//! The control API of `lvsd`: its routes ([`route`]), the types of its JSON, and a client ([`client`]).
//!
//! It knows no server and no data path.

pub mod client;
pub mod connections;
pub mod family;
pub mod filter;
pub mod health;
pub mod lenient;
pub mod mark;
pub mod model;
#[cfg(test)]
mod openapi;
pub mod peers;
pub mod problem;
pub mod protocol;
pub mod role;
pub mod route;
pub mod rows;
pub mod snat;
pub mod strict;
pub mod sync;
pub mod sysctl;
pub mod timeouts;
pub mod trace;
pub mod virtual_address;
pub mod why;

/// Description of the control API (OpenAPI 3.1) as JSON. A test of this crate makes it from the types.
pub const OPENAPI: &str = include_str!("../openapi.json");

/// Path of the daemon's control socket, unless an option names another one.
pub const DEFAULT_SOCKET: &str = "/run/lvs/lvsd.sock";
