//! Sizes of the maps.

/// Virtual services that tables of any size hold at most: a connection has 16 bits for the index of its service.
pub const MAX_SERVICES: u32 = 65_535;
/// Virtual services that tables of the default size hold.
pub const DEFAULT_SERVICES: u32 = 16_384;
/// Rules that give packets a firewall mark.
pub const MAX_RULES: u32 = 4_096;
/// Room for the rules that packets are compared with one by one: those in force, and those that are written
/// to replace them.
pub const MARK_RULE_PLACES: u32 = 2 * MAX_RULES;
/// Plans for each service: its own, one more while it is replaced, and one to spare.
pub const PLANS_PER_SERVICE: u32 = 3;
/// Real servers of all services together that tables of any size hold at most, deleted ones with connections included.
pub const MAX_SERVERS: u32 = 262_144;
/// Real servers that tables of the default size hold.
pub const DEFAULT_SERVERS: u32 = 65_536;
/// Real servers up to which a connection has 16 bits for the index of its server, and its service's beside it, see
/// [`crate::connection::Record`].
pub const SHORT_INDEXES: u32 = 65_536;
/// Real servers of one service at most.
pub const MAX_MEMBERS_PER_SERVICE: u32 = 1_024;
/// Room for the members of all plans, for each server.
pub const MEMBERS_PER_SERVER: u32 = 3;
/// Members for which there is a node of the tournament trees of all plans: each tree has one for seven members, and a
/// few more.
pub const MEMBERS_PER_TREE_NODE: u32 = 4;
/// Filters for each service: its own, and one more while it is replaced.
pub const FILTERS_PER_SERVICE: u32 = 2;
/// Default room for the lists of all filters, in elements of 24 bytes.
pub const DEFAULT_FILTER_NODES: u32 = 512 * 1024;
/// Next hops of tables of the default size: of larger ones as many as there are real servers.
pub const DEFAULT_HOPS: u32 = 65_536;
/// Addresses of the director's own at most.
pub const MAX_OWN_HOSTS: u32 = 65_536;
/// Neighbours that the program asks the daemon for at once.
pub const MAX_NEIGHBOUR_REQUESTS: u32 = 1_024;
/// Interfaces of the director's network namespace at most.
pub const MAX_INTERFACES: u32 = 16_384;
/// Kinds of frames that are another device's: VLANs, and ports of bridges and bonds.
pub const MAX_UPPER_DEVICES: u32 = 65_536;
/// Destinations of services by lblc and lblcr that are remembered.
pub const MAX_LOCALITIES: u32 = 16_384;
/// Calls whose Call-IDs are known, and connections whose calls are.
pub const MAX_CALLS: u32 = 16_384;
/// Source pools of real servers behind full NAT at most, number 0 included, which stands for "none".
pub const MAX_SOURCE_POOLS: u32 = 4_096;
/// Pairs of an interface and an error that lost frames are counted by.
pub const MAX_LOST: u32 = 1_024;
/// Default room for the scheduling tables of all plans (`u16` each).
pub const DEFAULT_SLOTS: u32 = 8 << 20;
/// Default capacity of the fragment table.
pub const DEFAULT_FRAGMENTS: u32 = 16_384;
/// Ways of one set of the connection table.
pub const WAYS: u32 = 8;
/// Kinds of verdicts the counter array has room for.
pub const MAX_REASONS: u32 = 64;

/// Probes on the service path at most, those that are over but a moment ago included.
pub const MAX_PROBES: u32 = 65_536;
/// Lowest port of a probe (of an echo request: identifier): the private ones of RFC 6335.
pub const FIRST_PROBE_PORT: u16 = 49_152;

/// Sockets on the director whose real server is remembered.
pub const MAX_LOCAL_CLIENTS: u32 = 16_384;
