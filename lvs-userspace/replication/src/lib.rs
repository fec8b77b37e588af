//! Connection replication: directors know each other's connections and persistence templates, so that each can
//! go on with those of the other.
//!
//! What another director sends is one thing, whatever protocol it came by: it is described by a [`replica`],
//! refused by [`validate`], and brought into the connection tables by [`apply`]; [`discard`] counts what is not.
//! The data path's [`events`] say which connections to send. Two transports use that, and know nothing of each
//! other: [`ipvs`], the protocol of the kernel's IPVS, and [`peer`], encrypted sessions of our own.
//!
//! Nothing here knows of health checks, configuration files, roles' addresses or the control server.

mod apply;
mod discard;
mod entries;
mod events;
pub mod ipvs;
mod lock;
pub mod peer;
mod replica;
mod validate;

pub use discard::Discard;
pub use events::{EventFeed, Interest, Subscription};
