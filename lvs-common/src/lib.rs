//! The packet path of the director as a library, and what both sides of it agree on.
//!
//! Everything the director decides about a packet is plain, safe Rust in this crate, generic over
//! three traits: [`packet::Packet`] (a frame or a socket buffer with checked access), [`tables::Tables`]
//! (services, servers, counters, clock) and [`connection::table::Ways`] (one set of the connection table).
//! `lvs-ebpf` implements them over the XDP context, socket buffers and BPF maps and decides nothing itself; the
//! tests implement them over plain memory, so the whole director also runs on any host.
//!
//! The crate performs no I/O, reads no clock, allocates nothing and contains no `unsafe`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

#[cfg(test)]
extern crate std;

pub mod abi;
mod aligned;
pub mod checksum;
pub mod connection;
pub mod crc32c;
pub mod diagnosis;
pub(crate) mod encapsulation;
pub mod ethernet;
pub mod family;
pub mod filter;
pub mod forward;
pub mod ftp;
pub mod local_clients;
pub mod network;
pub mod packet;
pub mod probe;
pub mod routes;
pub mod scheduler;
pub mod secrets;
pub mod sip;
pub mod siphash;
pub mod tables;
pub mod tree_marks;
pub mod verdict;
pub mod walk;
pub mod wire;
