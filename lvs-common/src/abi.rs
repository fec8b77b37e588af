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

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::connection::Protocol;

/// Changes whenever anything in this file or in [`crate::connection::Entry`] changes its layout or
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

/// Length of the clock's tick in nanoseconds: the coarse monotonic clock shifted right by
/// [`TICK_SHIFT`], a little more than a millisecond, so that 32 bits last 52 days.
pub const TICK_NANOS: u64 = 1 << TICK_SHIFT;
/// See [`TICK_NANOS`].
pub const TICK_SHIFT: u32 = 20;

/// Seconds as clock ticks, rounded up. The longest time IPVS allows (31 days) fits.
pub const fn ticks(seconds: u32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "31 days are 2.6e9 ticks, more is cut"
    )]
    let ticks = (seconds as u64 * 1_000_000_000).div_ceil(TICK_NANOS) as u32;
    ticks
}

/// Clock ticks as whole seconds, rounded down.
pub const fn seconds(ticks: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "fewer seconds than ticks")]
    let seconds = (ticks as u64 * TICK_NANOS / 1_000_000_000) as u32;
    seconds
}

/// Ticks since an entry was last seen. Another CPU may have handled a packet after this one read the
/// clock: what lies up to a minute ahead counts as no time at all.
#[inline(always)]
pub const fn age(now: u32, seen: u32) -> u32 {
    const AHEAD: u32 = ticks(60);
    let age = now.wrapping_sub(seen);
    if age > u32::MAX - AHEAD { 0 } else { age }
}

/// An IPv4 address lies in the first four bytes, the others are zero.
pub type Address = [u8; 16];
/// An Ethernet address.
pub type Mac = [u8; 6];

/// Settings of the whole data path, and the number that says whether a program may use these maps.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Config {
    /// [`ABI_VERSION`] of whoever made the maps.
    pub abi: u32,
    /// 1 once every map is made and pinned; a start that died half-way left 0.
    pub ready: u32,
    /// Secrets of the connection table's hash, drawn when the maps were made: a program with other
    /// secrets would find nothing.
    pub secrets: [u64; 16],
    /// Timeouts in ticks by protocol and state: index [`Protocol::timeouts_row`] * 16 + state.
    pub timeouts: [u32; 48],
    /// Bits of [`Config`]: `RSS_SOURCE` and the like.
    pub options: u32,
    /// ICMP errors the director sends per second and CPU at most.
    pub icmp_rate: u32,
    /// Of which connections another director hears.
    pub sync: Sync,
    /// How many of `own` count; 0: frames are looked at whomever they are for.
    pub own_count: u32,
    /// Not 0: there may be probes on the service path.
    pub probing: u32,
    /// Ethernet addresses of this machine, see [`Config::own_address`].
    pub own: [u64; OWN_ADDRESSES],
}

/// Room for Ethernet addresses of this machine.
pub const OWN_ADDRESSES: usize = 16;

impl Config {
    /// Bit of `options`: outer source address of tunnels varies with the flow.
    pub const RSS_SOURCE: u32 = 1;

    /// An Ethernet address as a number, for `own`.
    pub const fn own_address(address: Mac) -> u64 {
        let [first @ .., fifth, sixth] = address;
        u32::from_ne_bytes(first) as u64 | (u16::from_ne_bytes([fifth, sixth]) as u64) << 32
    }

    /// Ticks without a packet after which a connection in this state is forgotten.
    #[inline(always)]
    pub fn timeout(&self, protocol: Protocol, state: u8) -> u32 {
        let index = Self::timeout_index(protocol, u32::from(state));
        self.timeouts.get(index).copied().unwrap_or(0)
    }

    /// Place of a timeout in `timeouts`.
    pub const fn timeout_index(protocol: Protocol, state: u32) -> usize {
        protocol.timeouts_row() as usize * 16 + (state as usize & 15)
    }
}

/// When a connection is told to another director, beside its changes of state (`net.ipv4.vs.sync_threshold`
/// of IPVS).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Sync {
    /// Not 0: connections are told at all.
    pub on: u32,
    /// At this packet from its client, and again after each so many more:
    pub threshold: u32,
    /// the largest 64-bit number divided by how many, see [`Sync::every`]; 0: once.
    pub repeats: u64,
}

impl Sync {
    /// For `repeats`: after each so many packets; 0: once.
    pub const fn every(period: u32) -> u64 {
        match period {
            0 => 0,
            period => u64::MAX / period as u64,
        }
    }

    /// Whether it is told at this packet.
    #[inline(always)]
    pub const fn is_due(&self, packets: u32) -> bool {
        packets != 0 && packets >= self.threshold && self.may_be_due(packets)
    }

    /// Whether it may be told at this packet: from the threshold on, [`Sync::is_due`] says the same.
    ///
    /// Each packet of a known connection asks, and a division takes as long as the rest of what is done for
    /// it. A multiplication tells whether a 32-bit number is divisible by one that is known beforehand (Lemire,
    /// Kaser and Kurz, "Faster remainder by direct computation", 2019).
    #[inline(always)]
    pub const fn may_be_due(&self, packets: u32) -> bool {
        let beyond = packets.wrapping_sub(self.threshold) as u64;
        beyond.wrapping_mul(self.repeats.wrapping_add(1)) <= self.repeats
    }
}

/// What the ring buffer [`EVENTS`] holds: the number of an entry plus one, and whose.
pub const fn event(family: u8, number: u32) -> u32 {
    if family == 4 {
        number
    } else {
        number | EVENT_IPV6
    }
}

/// Bit of an event: the entry is of the IPv6 table. A table has fewer entries than that: the kernel's
/// arrays end at 4 GiB.
pub const EVENT_IPV6: u32 = 1 << 31;
/// Bytes of the ring buffer: 65,536 events.
pub const EVENTS_BYTES: u32 = 1 << 20;

/// What a virtual service is found by.
///
/// A firewall mark's service has its mark (network order) in the place of the address, no port and the
/// protocol [`ServiceKey::MARK`], by which no packet is looked up: packets find it by the keys of the
/// rules that give them the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ServiceKey {
    /// Virtual address.
    pub address: Address,
    /// Port, network order; 0 for every port that has no service of its own.
    pub port: U16,
    /// IP protocol number: 6, 17 or 132, or [`ServiceKey::MARK`].
    pub protocol: u8,
    /// 4 or 6; with the bit [`ServiceKey::RULE`] in the daemon's own records.
    pub family: u8,
}

impl ServiceKey {
    /// `protocol` of a firewall mark's service.
    pub const MARK: u8 = 0;
    /// Bit of `family`: the element's value is not a service index but the mark that packets with this
    /// key carry. A record for the daemon, which no packet is looked up by.
    pub const RULE: u8 = 0x80;
}

/// How a real server is picked. Everything that differs between IPVS's schedulers beyond that is in
/// the table the daemon lays out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Pick {
    /// No server can be picked.
    Nothing = 0,
    /// The table's next slot, by ticket: rr, wrr.
    Rotate = 1,
    /// Least connections, weights ignored but for 0: lc.
    Least = 2,
    /// Least connections in relation to the weight: wlc.
    WeightedLeast = 3,
    /// The table's slot by the source address' hash: sh.
    SourceHash = 4,
    /// The table's slot by the destination address' hash: dh.
    DestinationHash = 5,
    /// The Maglev table's slot by the source address' hash: mh.
    Maglev = 6,
}

impl Pick {
    /// Total: what no daemon writes picks nothing.
    pub const fn from_raw(raw: u8) -> Self {
        match raw {
            1 => Self::Rotate,
            2 => Self::Least,
            3 => Self::WeightedLeast,
            4 => Self::SourceHash,
            5 => Self::DestinationHash,
            6 => Self::Maglev,
            _ => Self::Nothing,
        }
    }
}

/// A virtual service as the program sees it: immutable once published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Plan {
    /// The service's own key: proof that the plan belongs to the flow that found it.
    pub key: ServiceKey,
    /// Service index.
    pub service: u32,
    /// First member in [`MEMBERS`].
    pub members: u32,
    /// Number of members, quiesced ones included.
    pub member_count: u32,
    /// First slot in [`SLOTS`].
    pub slots: u32,
    /// Number of slots.
    pub slot_count: u32,
    /// Persistence timeout in seconds; 0: not persistent.
    pub persistence: u32,
    /// Prefix length by which persistence groups clients.
    pub prefix: u8,
    /// [`Pick`].
    pub pick: u8,
    /// Bits of [`Plan`]: `ONE_PACKET` and the like.
    pub flags: u8,
    /// IPVS scheduler number for listings, see the daemon's scheduler names.
    pub scheduler: u8,
    /// Always zero.
    pub reserved: [u8; 16],
}

impl Plan {
    /// Bit of `flags`: every packet is scheduled anew (UDP).
    pub const ONE_PACKET: u8 = 1;
    /// Bit of `flags`: the repeated SYN of a half-open connection goes to another server.
    pub const REDISPATCH: u8 = 2;
    /// Bit of `flags`: scheduler flag 1 (`sh-fallback`, `mh-fallback`), as IPVS numbers it.
    pub const FLAG_1: u8 = 0x08;
    /// Bit of `flags`: scheduler flag 2 (`sh-port`, `mh-port`).
    pub const FLAG_2: u8 = 0x10;
    /// Bit of `flags`: scheduler flag 3.
    pub const FLAG_3: u8 = 0x20;
}

/// How packets reach a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// Addresses and ports are rewritten, replies come back through the director.
    Nat = 0,
    /// The director itself is the real server.
    Local = 1,
    /// The packet travels whole inside another IP packet.
    Tunnel = 2,
    /// Only the Ethernet addresses change.
    Direct = 3,
}

impl Method {
    /// Total, by the low bits as IPVS numbers its methods.
    pub const fn from_raw(raw: u8) -> Self {
        match raw & 3 {
            0 => Self::Nat,
            1 => Self::Local,
            2 => Self::Tunnel,
            _ => Self::Direct,
        }
    }
}

/// A real server's part in a plan: what the operator edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Member {
    /// Server index.
    pub server: u32,
    /// Weight; 0: quiesced, no new connections.
    pub weight: u32,
    /// Connections at which the server counts as overloaded; 0: never.
    pub upper: u32,
    /// Connections below which it no longer does; 0: three quarters of `upper`.
    pub lower: u32,
    /// [`Method`].
    pub method: u8,
    /// [`Method`] as the operator set it: `method` is `Local` where the address is the director's
    /// own. For the daemon only.
    pub configured: u8,
    /// Always zero.
    pub reserved: [u8; 2],
    /// The last weight that was not 0: mh keeps a quiesced server's slots. For the daemon only.
    pub last_weight: u32,
    /// Always zero.
    pub padding: [u8; 8],
}

/// A real server's identity and where to send its packets. The index stays taken while connections
/// refer to it, also after the operator deleted the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Server {
    /// The server's address.
    pub address: Address,
    /// Port, network order; 0: the packet's own.
    pub port: U16,
    /// 4 or 6; 0: this index is free.
    pub family: u8,
    /// Bits of [`Server`]: `DELETED` and `DOWN`.
    pub flags: u8,
    /// Index of the service it belongs to.
    pub service: u32,
    /// Hop number; 0: unresolved.
    pub hop: u32,
    /// Always zero.
    pub reserved: u32,
}

impl Server {
    /// Bit of `flags`: no longer configured; packets of its connections are dropped.
    pub const DELETED: u8 = 1;
    /// Bit of `flags`: it is down, and its connections are not to wait for it, see
    /// [`crate::forward`]'s `orphan`.
    pub const DOWN: u8 = 2;
}

/// A next hop: immutable once a server refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Hop {
    /// Ethernet addresses, destination first, as in a frame.
    pub destination: Mac,
    /// See `destination`.
    pub source: Mac,
    /// VLAN tag (network order: priority and id), 0: untagged.
    pub vlan: U16,
    /// Largest IP packet that fits, in bytes.
    pub mtu: u16,
    /// Interface to send by.
    pub interface: u32,
    /// Outer IPv4 source of tunnels through this hop.
    pub source4: [u8; 4],
    /// Outer IPv6 source of tunnels through this hop.
    pub source6: [u8; 16],
    /// Bits of [`Hop`]: `LOCAL`.
    pub flags: u32,
    /// Always zero.
    pub reserved: [u8; 20],
}

impl Hop {
    /// Bit of `flags`: the address is the director's own; packets go up its own stack.
    pub const LOCAL: u32 = 1;
}

/// Connections a server holds at the moment.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Load {
    /// Active connections in the low half, inactive ones in the high half: one atomic addition moves
    /// a connection from one to the other.
    pub counts: u64,
    /// Not 0 from the moment the upper threshold is reached until the lower one is passed.
    pub overloaded: u32,
    /// Persistence templates.
    pub templates: u32,
}

impl Load {
    /// What a new active connection adds to `counts`.
    pub const ACTIVE: u64 = 1;
    /// What a new inactive connection adds to `counts`.
    pub const INACTIVE: u64 = 1 << 32;

    /// Active connections.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub const fn active(self) -> u32 {
        self.counts as u32
    }

    /// Inactive connections.
    pub const fn inactive(self) -> u32 {
        (self.counts >> 32) as u32
    }
}

/// Traffic counted as IPVS does: bytes are those of the IP packet, outgoing ones only what passes
/// the director.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Stats {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
}

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

/// What a probe on the service path is known by: addresses and ports of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProbeKey {
    /// The virtual address.
    pub virtual_address: Address,
    /// The address it comes from: the director's own.
    pub own_address: Address,
    /// The port that is probed, network order; 0 of an echo request.
    pub virtual_port: U16,
    /// The port it comes from, network order; the identifier of an echo request.
    pub own_port: U16,
    /// IP protocol number.
    pub protocol: u8,
    /// 4 or 6: family of both addresses.
    pub family: u8,
    /// Always zero.
    pub reserved: [u8; 2],
}

/// How a probe on the service path gets to its real server, and the answers back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProbeRoute {
    /// The neighbour that its packets are sent to: the real server, or the router on the way there.
    pub neighbour: Address,
    /// Outer source, if the server is reached by a tunnel.
    pub tunnel_source: Address,
    /// Outer destination: the real server.
    pub tunnel_destination: Address,
    /// Interface they leave by.
    pub interface: u32,
    /// Interface that they come from, and answers go to.
    pub probe_interface: u32,
    /// Ethernet address behind `probe_interface`.
    pub probe_mac: Mac,
    /// 4 or 6: family of `neighbour`.
    pub neighbour_family: u8,
    /// 4 or 6: family of the tunnel; 0: there is none.
    pub tunnel_family: u8,
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

/// Bytes of a frame of the bench.
pub const BENCH_FRAME: usize = 80;

/// What the bench's harness sends, see `lvs-ebpf/src/bench.rs`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Bench {
    /// The frame; address and port of the flow are written over it.
    pub template: [u8; BENCH_FRAME],
    /// State of the random number generator.
    pub state: u64,
    /// Frames that ended otherwise than expected.
    pub wrong: u64,
    /// Frames that reached the sink.
    pub arrived: u64,
    /// Number of flows.
    pub flows: u32,
    /// Not 0: flows one after the other instead of at random.
    pub sequential: u32,
    /// The last flow sent in order.
    pub next: u32,
    /// Where the last four bytes of the flow's address go.
    pub address_at: u32,
    /// XDP action expected.
    pub expected: u32,
    /// Zero; written in place to wait for earlier stores.
    pub reserved: u32,
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
    assert!(size_of::<ServiceKey>() == 20);
    assert!(size_of::<Plan>() == 64);
    assert!(size_of::<Member>() == 32);
    assert!(size_of::<Server>() == 32);
    assert!(size_of::<Hop>() == 64);
    assert!(size_of::<Load>() == 16);
    assert!(size_of::<Stats>() == 40);
    assert!(size_of::<FragmentKey>() == 40);
    assert!(size_of::<ProbeKey>() == 40);
    assert!(size_of::<ProbeRoute>() == 64);
    assert!(CONCERN_WORDS == 1 << 11);
};
