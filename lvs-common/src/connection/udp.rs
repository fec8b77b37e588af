//! UDP: one state.

/// The only state, as IPVS numbers it.
pub const NORMAL: u8 = 0;
