//! Real servers as parts of a plan.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A real server's part in a plan: what the operator edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Member {
    /// Server index.
    pub server: u32,
    /// Weight; 0: quiesced, no new connections.
    pub weight: u32,
    /// Connections at which the server counts as overloaded; 0: never.
    pub upper: u32,
    /// Connections below which it no longer does; 0: three quarters of `upper`.
    pub lower: u32,
    /// [`Method`](super::Method).
    pub method: u8,
    /// [`Method`](super::Method) as the operator set it: `method` is `Local` where the address is the director's
    /// own. For the daemon only.
    pub configured: u8,
    /// Always zero.
    pub reserved: [u8; 2],
    /// The last weight that was not 0: mh keeps a quiesced server's slots. For the daemon only.
    pub last_weight: u32,
    /// Always zero.
    pub padding: [u8; 8],
}

const _: () = assert!(size_of::<Member>() == 32);
