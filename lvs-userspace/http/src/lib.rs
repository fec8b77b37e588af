//! Monitoring and control of the director by HTTP on a TCP address.
//!
//! ```text
//! listener: limits, TLS ─► access: who asks, and may they ─► metrics · page · control API
//! ```
//!
//! It knows the types of the control API, and neither how their values come about ([`Source`]) nor how requests
//! are carried out: the routes of the control API are handed in.

mod access;
mod clients;
mod credentials;
mod gate;
mod history;
mod listener;
mod metrics;
mod page;
mod problem;
#[cfg(test)]
mod sample;
mod snapshot;
mod throttle;
mod tls;
mod users;

pub use self::listener::{Files, Http, Options, StartError};
pub use self::problem::problem;
pub use self::snapshot::{ConfigStatus, Pending, Snapshot, Source};
