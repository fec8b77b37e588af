//! Names of the maps and programs, as `bpftool` shows them and the pin folder holds them.

/// [`super::Config`], one element, written by the daemon.
pub const CONFIG: &str = "config";
/// Hash of [`super::ServiceKey`] to service index (`u32`), written by the daemon.
pub const SERVICES: &str = "services";
/// Hash of [`super::ServiceKey`] to [`super::KeyedMark`], written by the daemon.
pub const KEYED_MARKS: &str = "keyed_marks";
/// [`super::MarkRule`]s, of which [`super::Config::mark_rules`] says which count, written by the daemon.
pub const MARK_RULES: &str = "mark_rules";
/// Service index to the number of the [`super::Plan`] in force (`u32`; 0: none), written by the daemon.
pub const ACTIVE_PLANS: &str = "active_plans";
/// Plan number to [`super::Plan`], written by the daemon; number 0 is never used.
pub const PLANS: &str = "plans";
/// [`super::Member`]s of the plans, each plan's in one run, written by the daemon.
pub const MEMBERS: &str = "members";
/// Scheduling tables of the plans: positions (`u16`) in the plan's run of members.
pub const SLOTS: &str = "slots";
/// Service index to the ticket counter (`u32`) of its rotating scheduler, written by the program.
pub const RR_CURSORS: &str = "rr_cursors";
/// Server index to [`super::Server`], written by the daemon.
pub const SERVERS: &str = "servers";
/// Hop number to [`super::Hop`], written by the daemon; number 0 stands for "unresolved".
pub const HOPS: &str = "hops";
/// Hash whose keys ([`super::HostAddress`], interface 0) are the director's own addresses, written by the daemon.
pub const OWN_HOSTS: &str = "own_hosts";
/// [`super::ADDR_FILTER_WORDS`] words (`u64`) of a filter of the addresses in [`OWN_HOSTS`], written by the daemon.
pub const OWN_FILTER: &str = "own_filter";
/// LRU hash whose keys ([`super::HostAddress`]) are the neighbours that replies need and the kernel does not know,
/// written by the program and removed by the daemon, which has the kernel find them.
pub const NEIGHBOUR_REQUESTS: &str = "neighbour_requests";
/// Hash of interface index (`u32`) to [`super::Interface`], written by the daemon: every interface of its network
/// namespace.
pub const INTERFACES: &str = "interfaces";
/// Hash of [`super::UpperKey`] to the index (`u32`) of the device that the kernel has such frames' packets come by,
/// written by the daemon: the VLAN device upon the interface, the bond, bridge or team that it is a port of.
pub const UPPER_DEVICES: &str = "upper_devices";
/// [`super::TreeNode`]s of all plans, written by both; number 0 stands for "none".
pub const TREE_NODES: &str = "tree_nodes";
/// LRU hash of [`super::LocalityKey`] to [`super::Locality`], written by the program.
pub const LOCALITIES: &str = "localities";
/// LRU hash of [`super::CallNumber`] to [`super::Call`]: the Call-IDs of templates, written by both.
pub const CALLS: &str = "calls";
/// LRU hash of [`crate::connection::EntryId`] to [`super::CallNumber`]: the calls of connections, written by the program.
pub const CONNECTION_CALLS: &str = "connection_calls";
/// The memory that the stages of a packet share, of the CPU at hand.
pub const WORKSPACE: &str = "workspace";
/// The message at hand ([`super::CallScratch`]), per CPU. Each loaded object has its own.
pub const CALL_SCRATCH: &str = "call_scratch";
/// Number to [`super::SourcePool`], written by the daemon; number 0 stands for "none".
pub const SOURCE_POOLS: &str = "source_pools";
/// Server index to [`super::Load`], written by both with atomic operations.
pub const LOADS: &str = "loads";
/// Server index to the number of SYNs (`u32`) that clients repeated because it did not answer, added to
/// by the program. One number for all CPUs: the daemon reads all of them many times a second.
pub const SYN_RETRIES: &str = "syn_retries";
/// Server index to [`super::Stats`], per CPU, written by the program.
pub const SERVER_STATS: &str = "server_stats";
/// Service index to [`super::Stats`], per CPU, written by the program.
pub const SERVICE_STATS: &str = "service_stats";
/// [`crate::verdict::Reason`] to the number of packets that ended so (`u64`), per CPU.
pub const VERDICTS: &str = "verdicts";
/// [`super::ADDR_FILTER_WORDS`] words (`u64`) of a filter of the addresses the director has to look at.
pub const ADDR_FILTER: &str = "addr_filter";
/// IPv4 connections: [`crate::connection::Entry`] in sets of [`super::WAYS`], written by both.
pub const CONNECTIONS4: &str = "connections4";
/// IPv6 connections, likewise.
pub const CONNECTIONS6: &str = "connections6";
/// LRU hash of [`super::FragmentKey`] to both ports ([`crate::connection::Ports`]), written by the program; ports
/// of 0 were written by the daemon, which held a fragment in vain.
pub const FRAGMENTS: &str = "fragments";
/// Ring buffer of later fragments that came before their first one, and of packets that have to be fragmented
/// ([`super::HeldFrame`]).
pub const HELD_FRAGMENTS: &str = "held_fragments";
/// Ring buffer of connections that another director should know, by their [`crate::connection::EntryId`].
pub const EVENTS: &str = "events";
/// Events that did not fit into their buffer (`u64`), per CPU.
pub const LOST_EVENTS: &str = "lost_events";
/// Limit of the ICMP errors that the director sends ([`super::IcmpBudget`]), per CPU.
pub const ICMP_BUDGET: &str = "icmp_budget";

/// Hash of [`super::ProbeKey`] to [`super::ProbeRoute`]: the probes that go by the service path, written by the
/// daemon.
pub const PROBES: &str = "probes";

/// Filter number to [`super::Filter`], written by the daemon; number 0 is never used.
pub const FILTERS: &str = "filters";
/// [`super::FilterNode`]s of the filters, each filter's in one run, written by the daemon.
pub const FILTER_NODES: &str = "filter_nodes";
/// Packets that filters refused ([`super::FilterStats`]), by service index, per CPU.
pub const FILTER_STATS: &str = "filter_stats";
/// The clients whose connections or packets are limited ([`super::ClientSet`]), written by the program.
pub const CLIENTS: &str = "clients";

/// The XDP program's name.
pub const PROGRAM: &str = "director";
/// The programs that [`PROGRAM`] calls for the stages of a packet: IPv4's and IPv6's.
pub const STAGE_PROGRAMS: [&str; 2] = ["director_v4", "director_v6"];
/// The array through which [`PROGRAM`] calls [`STAGE_PROGRAMS`]. Each loaded program has its own.
pub const XDP_STAGES: &str = "xdp_stages";
/// The TC program's name, for devices with an Ethernet header.
pub const TC_PROGRAM: &str = "director_tc";
/// The TC program's name, for devices without a link header.
pub const TC_L3_PROGRAM: &str = "director_tc_l3";
/// The programs that both call for the stages of a packet.
pub const TC_STAGE_PROGRAMS: [&str; 2] = ["director_tc_v4", "director_tc_v6"];
/// The array through which they do.
pub const TC_STAGES: &str = "tc_stages";
/// Index of IPv4's program in the arrays.
pub const STAGES_V4: u32 = 0;
/// Index of IPv6's program in the arrays.
pub const STAGES_V6: u32 = 1;
/// The name of the program that sends probes by the service path, see [`crate::probe`].
pub const PROBE_PROGRAM: &str = "probe";

/// The name of the program that sends a [`super::TryFrame`].
pub const TRY_PROGRAM: &str = "try_out";
/// The name of the program that hands a frame of the daemon's to the kernel, as one that came by its interface.
pub const ARRIVE_PROGRAM: &str = "arrive";
/// The name of the program that asks the kernel's routes for the daemon: its frame is a
/// [`super::RouteQuestion`].
pub const ROUTES_PROGRAM: &str = "ask_routes";

/// Ring buffer of the records of packets ([`super::PacketRecord`], with images). Each loaded object has its own, and of
/// the next two, too; who does not trace has a small one.
pub const PACKET_RECORDS: &str = "packet_records";
/// The packets that are recorded ([`super::TraceFilter`]), one element, written by the daemon.
pub const TRACE_FILTER: &str = "trace_filter";
/// The record in the making ([`super::TraceScratch`]), per CPU.
pub const TRACE_SCRATCH: &str = "trace_scratch";

/// The finding about the packet at hand ([`super::ProgramNote`]), per CPU. Each loaded object has its own.
pub const PROGRAM_NOTE: &str = "program_note";
/// Ring buffer of the program's log, as aya-log names it.
pub const PROGRAM_LOG: &str = "AYA_LOGS";

/// Hash of [`super::LostKey`] to the number of frames (`u64`) that the kernel did not send after a program had handed
/// them over, written by [`TRACE_PROGRAMS`]; with [`super::LostKey::CONFIRMED`] by the daemon.
pub const LOST_FRAMES: &str = "lost_frames";
/// The programs that count them, each with its tracepoint.
pub const TRACE_PROGRAMS: [(&str, &str); 5] = [
    ("lost_redirect", "xdp_redirect_err"),
    ("lost_transmit", "xdp_devmap_xmit"),
    ("lost_bulk", "xdp_bulk_tx"),
    ("lost_exception", "xdp_exception"),
    ("lost_buffer", "kfree_skb"),
];

/// LRU hash of [`super::LocalKey`] to [`super::LocalFlow`]: the real servers that datagrams of sockets on the director,
/// and local clients of persistent services, go to, written by [`LOCAL_PROGRAMS`].
pub const LOCAL_FLOWS: &str = "local_flows";
/// LRU hash of [`super::LocalKey`] (a real server) to the [`super::ServiceKey`] in whose place a socket on the director
/// has it, written by [`LOCAL_PROGRAMS`].
pub const LOCAL_PEERS: &str = "local_peers";
/// The programs that have sockets on the director connect to real servers, see [`crate::local_clients`].
pub const LOCAL_PROGRAMS: [&str; 8] = [
    "local_connect4",
    "local_connect6",
    "local_send4",
    "local_send6",
    "local_recv4",
    "local_recv6",
    "local_peer4",
    "local_peer6",
];

/// Names that maps had before, and their names now: what is pinned under an old name is the same map.
pub const RENAMED: [(&str, &str); 5] = [
    ("heads", ACTIVE_PLANS),
    ("cursors", RR_CURSORS),
    ("repeats", SYN_RETRIES),
    ("concern", ADDR_FILTER),
    ("tellers", "sending_peers"),
];
