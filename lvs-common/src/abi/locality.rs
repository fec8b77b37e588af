//! The real servers of a destination, as lblc and lblcr remember them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A destination of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LocalityKey {
    /// Index of the service.
    pub service: u32,
    /// The destination, folded to one word ([`crate::scheduler::fold`]): IPv6 destinations with the same word share
    /// their servers.
    pub destination: u32,
}

/// The servers of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Locality {
    /// Indexes of the servers, the newest first. [`crate::scheduler::NO_SERVER`]: a place that is free.
    pub servers: [u32; Self::SERVERS],
    /// Clock tick of the last connection.
    pub used: u32,
    /// Clock tick at which the servers were last others.
    pub changed: u32,
}

impl Locality {
    /// Servers of a destination at most: one more replaces the oldest. (The kernel's lblcr knows no limit.)
    pub const SERVERS: usize = 12;
}
