//! What lies in the BPF maps: names, keys and values, shared by the program and the daemon.
//!
//! Three rules keep a packet from ever seeing half an edit:
//!
//! 1. Whatever the operator edits about a virtual service (scheduler, members, weights, methods,
//!    thresholds) lies in an immutable [`Plan`] with its [`Member`]s and slots. A new plan is
//!    written beside the old one and published by one 32-bit store to the service's entry in
//!    [`HEADS`].
//! 2. A [`Hop`] is immutable once a server points at it; a changed neighbour is a new hop, published
//!    by one 32-bit store to [`Server::hop`].
//! 3. What is no longer referred to is written again only after an RCU grace period (the program
//!    runs inside one RCU read section).
//!
//! Integers are in host order unless the name or the doc comment says "network order".

mod bench;
mod clock;
mod config;
mod probe;
mod server;
mod service;
mod sync;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use self::bench::{BENCH_FRAME, Bench};
pub use self::clock::{TICK_NANOS, TICK_SHIFT, age, seconds, ticks};
pub use self::config::{Config, OWN_ADDRESSES};
pub use self::probe::{ProbeKey, ProbeRoute};
pub use self::server::{Hop, Load, Server, Stats};
pub use self::service::{Member, Method, Pick, Plan, ServiceKey};
pub use self::sync::{EVENT_IPV6, EVENTS_BYTES, Sync, event};

/// Changes whenever anything in these files or in [`crate::connection::Entry`] changes its layout or
/// meaning. A daemon refuses maps that carry another number.
pub const ABI_VERSION: u32 = 4;

/// [`Config`], one element, written by the daemon.
pub const CONFIG: &str = "config";
/// Hash of [`ServiceKey`] to service index (`u32`), written by the daemon.
pub const SERVICES: &str = "services";
/// Service index to the number of the [`Plan`] in force (`u32`; 0: none), written by the daemon.
pub const HEADS: &str = "heads";
/// Plan number to [`Plan`], written by the daemon; number 0 is never used.
pub const PLANS: &str = "plans";
/// [`Member`]s of the plans, each plan's in one run, written by the daemon.
pub const MEMBERS: &str = "members";
/// Scheduling tables of the plans: positions (`u16`) in the plan's run of members.
pub const SLOTS: &str = "slots";
/// Service index to the ticket counter (`u32`) of its rotating scheduler, written by the program.
pub const CURSORS: &str = "cursors";
/// Server index to [`Server`], written by the daemon.
pub const SERVERS: &str = "servers";
/// Hop number to [`Hop`], written by the daemon; number 0 stands for "unresolved".
pub const HOPS: &str = "hops";
/// Server index to [`Load`], written by both with atomic operations.
pub const LOADS: &str = "loads";
/// Server index to the number of SYNs (`u32`) that clients repeated because it did not answer, added to
/// by the program. One number for all CPUs: the daemon reads all of them many times a second.
pub const REPEATS: &str = "repeats";
/// Server index to [`Stats`], per CPU, written by the program.
pub const SERVER_STATS: &str = "server_stats";
/// Service index to [`Stats`], per CPU, written by the program.
pub const SERVICE_STATS: &str = "service_stats";
/// [`crate::verdict::Reason`] to the number of packets that ended so (`u64`), per CPU.
pub const VERDICTS: &str = "verdicts";
/// [`CONCERN_WORDS`] words (`u64`) of a filter of the addresses the director has to look at.
pub const CONCERN: &str = "concern";
/// IPv4 connections: [`crate::connection::Entry`] in sets of [`WAYS`], written by both.
pub const CONNECTIONS4: &str = "connections4";
/// IPv6 connections, likewise.
pub const CONNECTIONS6: &str = "connections6";
/// LRU hash of [`FragmentKey`] to both ports ([`crate::connection::Ports`]), written by the program.
pub const FRAGMENTS: &str = "fragments";
/// Ring buffer of connections that another director should hear of, see [`event`].
pub const EVENTS: &str = "events";
/// Events that did not fit into their buffer (`u64`), per CPU.
pub const LOST_EVENTS: &str = "lost_events";
/// Token bucket of the ICMP errors that the director sends ([`IcmpBudget`]), per CPU.
pub const ICMP_BUDGET: &str = "icmp_budget";

/// Hash of [`ProbeKey`] to [`ProbeRoute`]: the probes that go by the service path, written by the
/// daemon.
pub const PROBES: &str = "probes";

/// The XDP program's name.
pub const PROGRAM: &str = "director";
/// The name of the program that sends probes by the service path, see [`crate::probe`].
pub const PROBE_PROGRAM: &str = "probe";

/// Virtual services at most.
pub const MAX_SERVICES: u32 = 8_192;
/// Rules that give packets a firewall mark.
pub const MAX_RULES: u32 = 4_096;
/// What packets find services by, and the daemon's record of each rule.
pub const MAX_KEYS: u32 = MAX_SERVICES + 2 * MAX_RULES;
/// Plans: each service's own, one more while it is replaced, and some to spare.
pub const MAX_PLANS: u32 = 3 * MAX_SERVICES;
/// Real servers of all services together at most, deleted ones with connections included.
pub const MAX_SERVERS: u32 = 65_536;
/// Real servers of one service at most.
pub const MAX_MEMBERS_PER_SERVICE: u32 = 1_024;
/// Room for the members of all plans.
pub const MAX_MEMBERS: u32 = 3 * MAX_SERVERS;
/// Next hops at most.
pub const MAX_HOPS: u32 = 65_536;
/// Default room for the scheduling tables of all plans (`u16` each).
pub const DEFAULT_SLOTS: u32 = 8 << 20;
/// Default capacity of the fragment table.
pub const DEFAULT_FRAGMENTS: u32 = 16_384;
/// Ways of one set of the connection table.
pub const WAYS: u32 = 8;
/// Words of the address filter.
pub const CONCERN_WORDS: usize = 2_048;
/// Kinds of verdicts the counter array has room for.
pub const MAX_REASONS: u32 = 64;

/// Probes on the service path at most, those that are over but a moment ago included.
pub const MAX_PROBES: u32 = 65_536;
/// Their ports (of an echo request: its identifier) are not below this one: the private ones of RFC 6335.
pub const FIRST_PROBE_PORT: u16 = 49_152;

/// An IPv4 address lies in the first four bytes, the others are zero.
pub type Address = [u8; 16];
/// An Ethernet address.
pub type Mac = [u8; 6];

/// What a later fragment shares with its first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FragmentKey {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Identification (IPv4: in the low half).
    pub identification: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Always zero.
    pub reserved: [u8; 3],
}

/// A token bucket.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IcmpBudget {
    /// Tick of the last refill.
    pub filled: u32,
    /// Errors that may be sent at once.
    pub tokens: u32,
}

/// The bit of the address filter that stands for an address: word and bit number.
///
/// The program asks it before anything else about a packet's destination (a virtual address?) and
/// source (a real server that answers through NAT?), so that a packet that is none of the
/// director's costs two loads. False positives only cost time.
pub const fn concern_bit(address: &Address) -> (usize, u32) {
    let [low, high]: [u64; 2] = zerocopy::transmute!(*address);
    let mixed = (low ^ high.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 53) as usize, (mixed >> 47) as u32 & 63)
}

const _: () = {
    assert!(size_of::<FragmentKey>() == 40);
    assert!(CONCERN_WORDS == 1 << 11);
};
