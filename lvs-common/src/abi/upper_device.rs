//! Frames that the kernel takes for another device's than the one they came by.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Frames with a VLAN id that come by an interface.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct UpperKey {
    /// Index of the interface.
    pub interface: u32,
    /// VLAN id of the outermost tag, and [`UpperKey::SERVICE`] with one of 802.1ad; 0: none.
    pub vlan: u32,
}

impl UpperKey {
    /// Bit of `vlan`: the tag is a service provider's (802.1ad), not 802.1Q's.
    pub const SERVICE: u32 = 1 << 12;
}

const _: () = assert!(size_of::<UpperKey>() == 8);
