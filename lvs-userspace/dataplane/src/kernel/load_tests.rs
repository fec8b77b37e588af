//! The layout of the pinned maps: what a daemon adopts another version of it has made.

use super::*;

/// Name, type, bytes of a key and of a value, and flags of each pinned map, and [`ABI_VERSION`] that goes with them.
/// A changed line needs another number: with the same one an upgrade is refused, and the error names no version.
const LAYOUT: (u32, &str) = (
    7,
    "\
active_plans 2 4 4 1024
addr_filter 2 4 16384 1024
calls 9 8 280 0
clients 2 4 200 1024
config 2 4 528 1024
connection_calls 9 4 8 0
connections4 2 4 512 1024
connections6 2 4 1024 1024
events 27 0 0 0
filter_nodes 2 4 24 1024
filter_stats 6 4 64 0
filters 2 4 64 1024
fragments 9 40 4 0
held_fragments 27 0 0 0
hops 2 4 64 1024
icmp_budget 6 4 8 0
interfaces 1 4 24 1
keyed_marks 1 20 16 1
loads 2 4 32 1024
local_flows 9 32 8 0
local_peers 9 32 20 0
local_searches 2 4 184 0
localities 9 8 56 0
lost_events 6 4 8 0
lost_frames 1 8 8 0
mark_rules 2 4 112 1024
members 2 4 32 1024
neighbour_requests 9 24 4 0
own_filter 2 4 16384 1024
own_hosts 1 24 4 1
plans 2 4 64 1024
probes 1 40 64 1
rr_cursors 2 4 4 1024
server_stats 6 4 40 0
servers 2 4 32 1024
service_stats 6 4 40 0
services 1 20 4 0
slots 2 4 2 1024
source_pools 2 4 32 1024
syn_retries 2 4 4 1024
tree_nodes 2 4 8 1024
upper_devices 1 8 4 1
verdicts 6 4 8 0
",
);

#[test]
fn a_version_of_the_tables_has_one_layout() {
    let object = Object::parse(OBJECT).unwrap();
    let mut lines: Vec<String> = pinned_maps(&object)
        .map(|(name, map)| {
            let (key, value) = (map.key_size(), map.value_size());
            format!(
                "{name} {} {key} {value} {}\n",
                map.map_type(),
                map.map_flags()
            )
        })
        .collect();
    lines.sort();
    assert_eq!((ABI_VERSION, &*lines.concat()), LAYOUT);
}
