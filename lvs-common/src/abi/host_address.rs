//! Addresses of hosts, as keys of maps.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::address::Address;

/// The address of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HostAddress {
    /// The address.
    pub address: Address,
    /// 4 or 6.
    pub family: u32,
    /// Index of the interface on whose link it is; 0: it does not matter.
    pub interface: u32,
}

const _: () = assert!(size_of::<HostAddress>() == 24);
