//! Connection replication between directors: in the messages of the kernel's IPVS ([`sync`]), and over
//! encrypted sessions of our own ([`peer`]).

pub mod peer;
pub mod sync;
