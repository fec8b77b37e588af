//! The server of the control API: HTTP with JSON over a Unix socket.

mod care;
mod role;
pub(crate) mod server;
