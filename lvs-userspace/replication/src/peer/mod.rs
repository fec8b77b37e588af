//! Encrypted sessions between directors of this kind, which send each other their connections, and messages
//! about what else they agree on (`lvsd --peer`).
//!
//! Each director dials each of its peers and sends over that session; it receives over the sessions that the
//! others dialed. So there is no question which session counts, and a director that nobody dials is seen to be
//! one.
//!
//! A session carries the present state, not what happened: [`sender`] compares the tables with what the peer was
//! sent. A peer that joins was sent nothing, so the first scan of the tables is the bulk sync, while events
//! already cause incremental updates. [`receiver`] is the other end; [`ownership`] says which director's an
//! entry is, [`inherited`] what becomes of replicas that lvsd finds when it starts.

mod accept;
mod address;
mod age;
mod context;
mod dial;
mod dialed;
mod dialing;
mod frame;
mod heartbeat;
mod hello;
mod inherited;
mod key;
mod message;
mod noise;
mod ownership;
mod peers;
mod receiver;
mod record;
mod refusal;
mod replica_index;
mod role_in_force;
mod sender;
mod status;
mod tables;
#[cfg(test)]
mod tests;
mod validate;
mod window;

pub use address::{DEFAULT_PORT, listen as listen_address, peer as peer_address};
pub use key::{Key, KeyError};
pub use message::{AGREEMENT_SINCE, Event, Instance, Message, Takeover};
pub use peers::{Options, Peers, SendError};
pub use refusal::Refusal;
pub use role_in_force::RoleInForce;
