//! Questions of the daemon's to the kernel's routes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The frame of [`super::ROUTES_PROGRAM`]: a question, in whose place the answer lies afterwards. The answer's code is
/// the program's result.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RouteQuestion {
    /// The bytes of a [`Lookup`](crate::routes::Lookup).
    pub lookup: [u8; 64],
    /// Flags of the lookup, in the machine's byte order.
    pub flags: [u8; 4],
}
