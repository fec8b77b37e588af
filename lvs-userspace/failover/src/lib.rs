//! Failover: the role of this director, its handover to a peer, and the virtual addresses a master holds.

pub mod role;
pub mod virtual_address;
