//! The control API of `lvsd`: the types that travel over its socket as JSON, and a client.
//!
//! Knows serde's types and how to send a request, and nothing of how one is answered.

pub mod client;
pub mod health;
pub mod model;
pub mod peers;
pub mod protocol;
pub mod role;
pub mod sync;
pub mod virtual_address;

/// Path of the daemon's control socket, unless an option names another one.
pub const DEFAULT_SOCKET: &str = "/run/lvs/lvsd.sock";
