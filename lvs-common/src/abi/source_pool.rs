//! Source addresses and ports for the connections to real servers behind full NAT.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::address::Address;

/// The lowest port that is used unless the operator names ports, or the client uses a lower one itself.
pub const FIRST_PORT: u16 = 1024;

/// The addresses of the director, and the ports of each, as which a real server sees clients: immutable
/// once a server refers to it.
///
/// Other ways to tell a server of its clients (a header at the start of a TCP connection) would stand here, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SourcePool {
    /// The first address; all zero with `ROUTE`.
    pub first: Address,
    /// Number of addresses, counted up from the first one; 0: this number is free.
    pub addresses: u32,
    /// The first port of each address.
    pub first_port: u16,
    /// The last port of each address.
    pub last_port: u16,
    /// Bits of [`SourcePool`]: `ROUTE` and `ALL_PORTS`.
    pub flags: u32,
    /// Always zero.
    pub reserved: u32,
}

impl SourcePool {
    /// Bit of `flags`: the address is the one of the route to the server, which its hop knows.
    pub const ROUTE: u32 = 1;
    /// Bit of `flags`: the operator named no ports. For the daemon only.
    pub const ALL_PORTS: u32 = 2;
}

const _: () = assert!(size_of::<SourcePool>() == 32);
