//! Next hops of the real servers: where the kernel would send a packet, followed through netlink as
//! it changes.
//!
//! The packet program asks nobody for a next hop; this module does so ahead of the packets. For
//! every followed address it asks the kernel for the route, sees to it that the neighbour on that
//! route is known and stays known, and reports where frames have to go. Routes, rules, interfaces,
//! addresses and neighbours are followed as they change.
//!
//! - `tables`: the kernel's tables as plain values; `update`: their changes; `decode`: netlink messages to
//!   updates.
//! - `resolve`: the decision, from the tables to a next hop (`next_hop`).
//! - `refresh`: the schedule by which the kernel is requested to find and confirm neighbours.
//! - `tracker`: updates go in, requests and changes come out; no I/O, no clock.
//! - `lookup`: routes, asked for one address at a time.
//! - `events`: the kernel's announcements; `task`: runs between the sockets and the tracker; `neighbours`
//!   puts all of it together.
//! - `service_interfaces`: by which interfaces packets of services come and go.
//! - `route_changes`: when the ways to clients, which the program looks up itself, may be others; `solicit`: the
//!   neighbours that it misses on them; `confirm`: those that it uses.

mod confirm;
mod decode;
mod events;
mod lookup;
mod neighbours;
mod next_hop;
mod refresh;
mod resolve;
mod route_changes;
mod service_interfaces;
mod solicit;
mod tables;
mod task;
mod tracker;
mod update;

pub use crate::followed::Followed;
pub use confirm::confirm;
pub(crate) use decode::next_hops;
pub(crate) use lookup::look_up;
pub use neighbours::{Links, Neighbours};
pub use next_hop::{Change, NextHop, Resolution};
pub use route_changes::{Changed, RouteChanges, advance_routes};
pub use service_interfaces::{ServiceInterfaces, read_interfaces, service_interfaces};
pub use solicit::solicit;
pub(crate) use tables::Route;
pub use tables::{Discovery, Interface, Interfaces, Vlan};
