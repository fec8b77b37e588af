//! The director on Debian's kernel 6.1, and with that kernel's own IPVS as the other director.

mod ipvs_sync;
mod verifier;
