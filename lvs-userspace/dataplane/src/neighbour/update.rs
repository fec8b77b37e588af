//! Changes of the kernel's network tables.

use std::net::IpAddr;

use super::tables::{Address, Interface, Neighbour, NeighbourKey};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Update {
    /// The state of an interface, by its index; `None`: it is gone.
    Interface(u32, Option<Interface>),
    /// An interface has this address.
    Address(u32, Address),
    /// An interface no longer has this address.
    AddressRemoved(u32, IpAddr),
    /// The state of a neighbour; `None`: it is gone.
    Neighbour(NeighbourKey, Option<Neighbour>),
    /// Routes within this prefix are different.
    Routes(Prefix),
    /// Any route may be different.
    AllRoutes,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// Any address within; its family counts even where `length` is 0.
    pub(super) address: IpAddr,
    /// Leading bits that count.
    pub(super) length: u8,
}

impl Prefix {
    /// First and last address.
    pub(super) fn range(self) -> std::ops::RangeInclusive<IpAddr> {
        match self.address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(self.length.into()).unwrap_or(0);
                let address = address.to_bits();
                IpAddr::V4((address & !host).into())..=IpAddr::V4((address | host).into())
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(self.length.into()).unwrap_or(0);
                let address = address.to_bits();
                IpAddr::V6((address & !host).into())..=IpAddr::V6((address | host).into())
            }
        }
    }
}
