//! The control socket: HTTP with JSON over a Unix socket.

mod care;
pub mod client;
pub mod health;
pub mod peers;
pub mod protocol;
pub mod role;
pub mod server;
pub mod sync;

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/lvs/lvsd.sock";
