//! Every map of the data path. `lvs_common::abi` documents what each holds and who writes it; the
//! names are the ones there.
//!
//! Arrays that the daemon reads or writes as memory carry `BPF_F_MMAPABLE`. Sizes of the connection
//! tables, of the slots, of the fragment table and of what there is for each service and real server are set when the
//! maps are made.

#![allow(
    non_upper_case_globals,
    reason = "the statics are named as the maps are, which tools show"
)]

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use lvs_common::abi::{
    ADDR_FILTER_WORDS, CLIENT_SETS, Call, CallNumber, CallScratch, ClientSet, Config,
    DEFAULT_FILTER_NODES, DEFAULT_FRAGMENTS, DEFAULT_HOPS, DEFAULT_SERVERS, DEFAULT_SERVICES,
    DEFAULT_SLOTS, EVENTS_BYTES, FILTERS_PER_SERVICE, Filter, FilterNode, FilterStats, FragmentKey,
    HELD_FRAGMENTS_BYTES, Hop, HostAddress, IcmpBudget, Interface, KeyedMark, Load, Locality,
    LocalityKey, LostKey, MARK_RULE_PLACES, MAX_CALLS, MAX_INTERFACES, MAX_LOCALITIES, MAX_LOST,
    MAX_NEIGHBOUR_REQUESTS, MAX_OWN_HOSTS, MAX_PROBES, MAX_REASONS, MAX_RULES, MAX_SOURCE_POOLS,
    MAX_UPPER_DEVICES, MEMBERS_PER_SERVER, MEMBERS_PER_TREE_NODE, MarkRule, Member,
    PACKET_RECORDS_BYTES, PLANS_PER_SERVICE, Plan, ProbeKey, ProbeRoute, ProgramNote, Server,
    ServiceKey, SourcePool, Stats, TraceFilter, TraceScratch, TreeNode, UpperKey, WAYS,
};
use lvs_common::connection::{Entry, Ports};
use lvs_common::family::{V4, V6};
use lvs_common::forward::Workspace;

/// One set of the connection table.
#[repr(C, align(64))]
pub(crate) struct Set<F: lvs_common::family::Family> {
    pub(crate) ways: [Entry<F>; WAYS as usize],
}

/// A filter of addresses as one value.
#[repr(transparent)]
pub(crate) struct AddrFilter(pub(crate) [u64; ADDR_FILTER_WORDS]);

macro_rules! shared {
    ($($name:ident: $type:ty, $entries:expr;)+) => {
        $(#[map]
        pub(crate) static $name: Array<$type> = Array::with_max_entries($entries, BPF_F_MMAPABLE);)+
    };
}

shared! {
    config: Config, 1;
    mark_rules: MarkRule, MARK_RULE_PLACES;
    active_plans: u32, DEFAULT_SERVICES;
    plans: Plan, PLANS_PER_SERVICE * DEFAULT_SERVICES;
    members: Member, MEMBERS_PER_SERVER * DEFAULT_SERVERS;
    slots: u16, DEFAULT_SLOTS;
    tree_nodes: TreeNode, MEMBERS_PER_SERVER * DEFAULT_SERVERS / MEMBERS_PER_TREE_NODE;
    rr_cursors: u32, DEFAULT_SERVICES;
    servers: Server, DEFAULT_SERVERS;
    hops: Hop, DEFAULT_HOPS;
    source_pools: SourcePool, MAX_SOURCE_POOLS;
    loads: Load, DEFAULT_SERVERS;
    syn_retries: u32, DEFAULT_SERVERS;
    addr_filter: AddrFilter, 1;
    own_filter: AddrFilter, 1;
    filters: Filter, FILTERS_PER_SERVICE * DEFAULT_SERVICES;
    filter_nodes: FilterNode, DEFAULT_FILTER_NODES;
    clients: ClientSet, CLIENT_SETS;
    connections4: Set<V4>, 65_536;
    connections6: Set<V6>, 16_384;
}

#[map]
pub(crate) static services: HashMap<ServiceKey, u32> =
    HashMap::with_max_entries(DEFAULT_SERVICES, 0);

#[map]
pub(crate) static own_hosts: HashMap<HostAddress, u32> =
    HashMap::with_max_entries(MAX_OWN_HOSTS, BPF_F_NO_PREALLOC);

#[map]
pub(crate) static neighbour_requests: LruHashMap<HostAddress, u32> =
    LruHashMap::with_max_entries(MAX_NEIGHBOUR_REQUESTS, 0);

#[map]
pub(crate) static interfaces: HashMap<u32, Interface> =
    HashMap::with_max_entries(MAX_INTERFACES, BPF_F_NO_PREALLOC);

/// Most directors have none.
#[map]
pub(crate) static upper_devices: HashMap<UpperKey, u32> =
    HashMap::with_max_entries(MAX_UPPER_DEVICES, BPF_F_NO_PREALLOC);

#[map]
pub(crate) static localities: LruHashMap<LocalityKey, Locality> =
    LruHashMap::with_max_entries(MAX_LOCALITIES, 0);

/// Most directors have none.
#[map]
pub(crate) static calls: LruHashMap<CallNumber, Call> = LruHashMap::with_max_entries(MAX_CALLS, 0);

/// Most directors have none.
#[map]
pub(crate) static connection_calls: LruHashMap<u32, CallNumber> =
    LruHashMap::with_max_entries(MAX_CALLS, 0);

#[map]
pub(crate) static call_scratch: PerCpuArray<CallScratch> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub(crate) static lost_frames: HashMap<LostKey, u64> = HashMap::with_max_entries(MAX_LOST, 0);

/// Most directors have none.
#[map]
pub(crate) static keyed_marks: HashMap<ServiceKey, KeyedMark> =
    HashMap::with_max_entries(MAX_RULES, BPF_F_NO_PREALLOC);

/// Most directors have none.
#[map]
pub(crate) static probes: HashMap<ProbeKey, ProbeRoute> =
    HashMap::with_max_entries(MAX_PROBES, BPF_F_NO_PREALLOC);

#[map]
pub(crate) static server_stats: PerCpuArray<Stats> =
    PerCpuArray::with_max_entries(DEFAULT_SERVERS, 0);

#[map]
pub(crate) static service_stats: PerCpuArray<Stats> =
    PerCpuArray::with_max_entries(DEFAULT_SERVICES, 0);

#[map]
pub(crate) static filter_stats: PerCpuArray<FilterStats> =
    PerCpuArray::with_max_entries(DEFAULT_SERVICES, 0);

#[map]
pub(crate) static verdicts: PerCpuArray<u64> = PerCpuArray::with_max_entries(MAX_REASONS, 0);

#[map]
pub(crate) static fragments: LruHashMap<FragmentKey, Ports> =
    LruHashMap::with_max_entries(DEFAULT_FRAGMENTS, 0);

#[map]
pub(crate) static held_fragments: RingBuf = RingBuf::with_byte_size(HELD_FRAGMENTS_BYTES, 0);

#[map]
pub(crate) static events: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);

#[map]
pub(crate) static lost_events: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub(crate) static icmp_budget: PerCpuArray<IcmpBudget> = PerCpuArray::with_max_entries(1, 0);

/// Working memory of the packet at hand, see `lvs_common::forward::Workspace`.
#[map]
pub(crate) static workspace: PerCpuArray<Workspace> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub(crate) static packet_records: RingBuf = RingBuf::with_byte_size(PACKET_RECORDS_BYTES, 0);

#[map]
pub(crate) static trace_filter: Array<TraceFilter> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub(crate) static trace_scratch: PerCpuArray<TraceScratch> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub(crate) static program_note: PerCpuArray<ProgramNote> = PerCpuArray::with_max_entries(1, 0);
