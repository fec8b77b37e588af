//! Connection replication: directors know each other's connections and persistence templates, so that each can
//! go on with those of the other.
//!
//! The core is the same for all protocols: a [`replica`] describes a connection of another director, [`validate`]
//! refuses impossible ones, [`apply`] brings the others into the connection tables, and [`discard`] counts those
//! that are not applied.
//! The data path's [`events`] say which connections to send. Two transports use that, and know nothing of each
//! other: [`ipvs`], the protocol of the kernel's IPVS, and [`peer`], encrypted sessions of our own.
//!
//! Nothing here knows of health checks, configuration files, roles' addresses or the control server.

mod apply;
mod calls;
mod discard;
mod entries;
mod events;
pub mod ipvs;
pub mod peer;
mod replica;
mod validate;

pub use discard::Discard;
pub use events::{EventFeed, Interest, Subscription};
