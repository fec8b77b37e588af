//! `sync`: connection replication, shown and awaited.

mod differences;
mod status;
mod wait;

pub(super) use self::differences::differences;
pub(super) use self::status::status;
pub(super) use self::wait::{Awaited, behind, wait};

/// The version of the protocol from which on peers send what they have, to be compared.
const COMPARES: u16 = 4;

#[cfg(test)]
mod sample;
