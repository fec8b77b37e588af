//! Keys and values of maps, for aya.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A key or value of a map, for aya.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Wire<T>(pub(crate) T);

// SAFETY: zerocopy's derives prove that `T` has no padding and that any bytes are a `T`.
unsafe impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> aya::Pod for Wire<T> {}
