//! The virtual addresses of a pair of directors: the master holds them, and announces them on the network.
//!
//! All of a director are one group and move together: the virtual addresses of services, and the
//! address that real servers behind NAT have as their gateway.
//!
//! The kernel keeps who added an address (`IFA_PROTO`). What somebody else added is left alone, and what
//! an lvsd added that was killed is known as its own by the next.
//!
//! - `holder`: the task of a master; `held_address`: the state of one of its addresses.
//! - `interface_addresses`: addresses of interfaces, through netlink.
//! - `announcer`, `frame`: announcements and probes on an interface, and the claims of other hosts;
//!   `schedule`: when announcements are sent; `conflict`: addresses that other hosts hold, too.

mod announcer;
mod conflict;
mod frame;
mod held_address;
mod holder;
mod interface_addresses;
mod schedule;

pub(crate) use announcer::has_neighbours;
pub(crate) use holder::Holder;
pub use interface_addresses::AddressError;
pub(crate) use interface_addresses::remove;
pub use schedule::Announcing;
