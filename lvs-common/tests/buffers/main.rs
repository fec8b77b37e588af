//! The whole director on the host, over socket buffers: what holds for frames holds for them. The tests are those of
//! `director`, with another packet under them, and those of what only socket buffers have.

#[path = "../director/frames.rs"]
mod frames;
#[path = "../director/memory.rs"]
mod memory;
#[path = "../director/memory_clients.rs"]
mod memory_clients;
#[path = "../director/memory_sets.rs"]
mod memory_sets;
#[path = "socket_buffer.rs"]
mod packet;
#[path = "../director/route_table.rs"]
mod route_table;
#[path = "../director/stale_workspace.rs"]
mod stale_workspace;

#[path = "../director/client_routes.rs"]
mod client_routes;
#[path = "../director/concurrency.rs"]
mod concurrency;
#[path = "../director/connections.rs"]
mod connections;
#[path = "../director/encapsulation.rs"]
mod encapsulation;
#[path = "../director/filters.rs"]
mod filters;
#[path = "../director/forwarding.rs"]
mod forwarding;
#[path = "../director/fragments.rs"]
mod fragments;
#[path = "../director/ftp.rs"]
mod ftp;
#[path = "../director/ftp_nat.rs"]
mod ftp_nat;
#[path = "../director/half_open_limit.rs"]
mod half_open_limit;
#[path = "../director/hashing.rs"]
mod hashing;
#[path = "../director/icmp_answers.rs"]
mod icmp_answers;
#[path = "../director/marks.rs"]
mod marks;
#[path = "../director/martians.rs"]
mod martians;
#[path = "../director/orphans.rs"]
mod orphans;
#[path = "../director/persistence.rs"]
mod persistence;
#[path = "../director/probes.rs"]
mod probes;
#[path = "../director/random_frames.rs"]
mod random_frames;
#[path = "../director/related_icmp.rs"]
mod related_icmp;
#[path = "../director/schedules.rs"]
mod schedules;
#[path = "../director/source_translation.rs"]
mod source_translation;
#[path = "../director/sources.rs"]
mod sources;
#[path = "../director/state_machines.rs"]
mod state_machines;
#[path = "../director/syn_retries.rs"]
mod syn_retries;
#[path = "../director/sync_events.rs"]
mod sync_events;
#[path = "../director/vlans.rs"]
mod vlans;

mod link_headers;
mod super_packets;
