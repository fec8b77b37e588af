//! The whole director on the host: packets in, packets and verdicts out.

mod frames;
mod memory;
mod memory_clients;
mod memory_sets;
#[path = "driver_frame.rs"]
mod packet;
mod route_table;
mod stale_workspace;

mod call_ids;
mod client_routes;
mod concurrency;
mod connections;
mod early_fragments;
mod encapsulation;
mod filters;
mod forwarding;
mod fragments;
mod ftp;
mod ftp_nat;
mod half_open_limit;
mod hashing;
mod icmp_answers;
mod local_clients;
mod long_indexes;
mod marks;
mod martians;
mod mixed;
mod orphans;
mod persistence;
mod probes;
mod random_frames;
mod recycling;
mod related_icmp;
mod schedules;
mod source_translation;
mod sources;
mod state_machines;
mod syn_retries;
mod sync_events;
mod sysctls;
mod vlans;
