//! The fast path: a plain packet of a known connection, or the first one of a new connection.
//!
//! Nearly every packet is one. It carries nothing that asks for a closer look (VLAN tags, options,
//! fragments), leaves its connection's state as it is or begins one with nothing in its way, and goes out by
//! a plain next hop. All of that is done here from top to bottom, with its values in registers and nothing
//! changed before it is certain. Whatever else comes goes through the stages, which do the same for every
//! packet.

mod attempt;
mod established;
pub(super) mod new_connection;
mod packet;
mod send;

pub(super) use attempt::Attempt;
pub(super) use established::established;
