//! The devices of the network namespace: what each can do for the packet path.
//!
//! - `entry`: the records of the interfaces for the program.
//! - `sends`: which of them take frames from an XDP program.

mod entry;
mod sends;

pub use entry::entries;
pub use sends::senders;
