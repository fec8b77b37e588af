//! Filters of virtual services: the lists of addresses that may begin connections, and limits per client.
//!
//! The stages ask them by `forward/filter.rs`; here are the lists ([`lists`]) and the table of the
//! clients whose connections and packets are counted ([`clients`]).

pub mod clients;
pub mod lists;
