//! Probes: sockets, connections and the rest that every kind of health check stands on.
//!
//! The probe of a kind is one `async fn` of the [`Probe`] under way that returns a phrase of its finding or
//! a [`Failure`]. It looks at no clock: the whole of it is under the check's timeout, and it names with
//! [`Probe::awaits`] the thing that it waits for, as every operation of a [`connection::Connection`]
//! does. Answers are read through limits only.
//!
//! A probe is one future, without a thread or a task of its own: thousands of them wait at once.
//!
//! [`Failure`]: super::outcome::Failure

pub mod external;
pub mod tls;

pub(super) mod connect;
pub(super) mod connection;
mod context;
pub(super) mod datagram;
pub(super) mod error;
pub(super) mod ping;
pub(super) mod process_group;
pub(super) mod replies;
mod socket;

pub use self::context::{Found, Probe};
