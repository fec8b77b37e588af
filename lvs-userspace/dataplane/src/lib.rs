//! The data plane as user space sees it: the BPF program and its maps, the services and connections in
//! them, the next hops that the kernel's routes and neighbours lead to.
//!
//! Only [`kernel`] calls aya and contains `unsafe`. Nothing here knows of health checks, replication,
//! configuration files or the control socket.

pub mod address;
pub mod clock;
pub mod connections;
pub mod device;
pub mod director;
pub mod drop;
pub mod early_fragments;
pub mod equal_cost;
pub mod fill;
mod followed;
pub mod fragmentation;
mod frame_image;
mod interface_name;
pub mod keepalive;
pub mod kernel;
pub mod neighbour;
pub mod netlink;
pub mod not_sent;
pub mod open_connections;
pub mod own_addresses;
pub mod packet_trace;
mod rates;
mod scheduler;
pub mod server_resets;
pub mod service_path;
pub mod source_checks;
pub mod source_usage;
pub mod sweep;
pub mod table;
mod templates;
mod tunnel;
pub mod why;
