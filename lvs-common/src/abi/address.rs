//! Addresses in the form that all maps share.

/// An IPv4 address lies in the first four bytes, the others are zero.
pub type Address = [u8; 16];
/// An Ethernet address.
pub type Mac = [u8; 6];
