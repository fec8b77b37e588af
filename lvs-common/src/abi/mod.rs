//! The BPF maps: names, keys and values, shared by the program and the daemon.
//!
//! Three rules keep a packet from ever seeing half an edit:
//!
//! 1. Whatever the operator edits about a virtual service (scheduler, members, weights, methods,
//!    thresholds) lies in an immutable [`Plan`] with its [`Member`]s and slots. A new plan is
//!    written beside the old one and published by one 32-bit store to the service's entry in
//!    [`ACTIVE_PLANS`].
//! 2. A [`Hop`] is immutable once a server points at it; a changed neighbour is a new hop, published
//!    by one 32-bit store to [`Server::hop`].
//! 3. What is no longer referred to is written again only after an RCU grace period (the program
//!    runs inside one RCU read section).
//!
//! Integers are in host order unless the name or the doc comment says "network order".

mod addr_filter;
mod address;
mod bench;
mod call;
mod clock;
mod config;
mod encapsulation;
mod filter;
mod fragment;
mod held_frame;
mod host_address;
mod icmp_budget;
mod interface;
mod limits;
mod local_client;
mod locality;
mod mark;
mod member;
mod names;
mod packet_record;
mod probe;
mod program_note;
mod route_question;
mod server;
mod service;
mod source_pool;
mod sync;
mod trace;
mod tree;
mod try_frame;
mod upper_device;

pub use self::addr_filter::{ADDR_FILTER_WORDS, addr_filter_bit};
pub use self::address::{Address, EthernetAddresses, Mac};
pub use self::bench::{BENCH_FRAME, Bench};
pub use self::call::{Call, CallNumber, CallScratch};
pub use self::clock::{TICK_NANOS, TICK_SHIFT, age, seconds, ticks};
pub use self::config::{Config, Crowd, OWN_ADDRESSES};
pub use self::encapsulation::Encapsulation;
pub use self::filter::{
    CLIENT_SETS, CLIENT_WAYS, ClientSet, Filter, FilterNode, FilterStats, LimitedClient, NODE_BITS,
    Pace, Refused,
};
pub use self::fragment::FragmentKey;
pub use self::held_frame::{HELD_BYTES, HELD_FRAGMENTS_BYTES, HeldFrame};
pub use self::host_address::HostAddress;
pub use self::icmp_budget::IcmpBudget;
pub use self::interface::{Interface, LOOPBACK};
pub use self::limits::*;
pub use self::local_client::{LocalFlow, LocalKey};
pub use self::locality::{Locality, LocalityKey};
pub use self::mark::{AddressWords, KeyedMark, MarkRule, Marked, address_words};
pub use self::member::Member;
pub use self::names::*;
pub use self::packet_record::{
    MAX_IMAGE, PACKET_RECORDS_BYTES, PacketRecord, TRACE_TERMS, TraceFilter, TraceScratch,
    TraceTerm,
};
pub use self::probe::{ProbeKey, ProbeRoute};
pub use self::program_note::ProgramNote;
pub use self::route_question::RouteQuestion;
pub use self::server::{Hop, Load, Server, Stats};
pub use self::service::{Method, Pick, Plan, ServiceKey};
pub use self::source_pool::{FIRST_PORT, SourcePool};
pub use self::sync::{EVENTS_BYTES, Sync};
pub use self::trace::{LostKey, TraceOffsets};
pub use self::tree::{TreeNode, TreeShape};
pub use self::try_frame::TryFrame;
pub use self::upper_device::UpperKey;

/// Changes whenever anything in these files or in [`crate::connection::Entry`] changes its layout or
/// meaning. A daemon refuses maps that carry another number.
pub const ABI_VERSION: u32 = 7;
