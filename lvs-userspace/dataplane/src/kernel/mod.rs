//! The only folder with aya and with `unsafe`: loads and attaches the program, pins and adopts what
//! the data path consists of, and shows the maps as typed memory.

mod attach;
mod bench;
mod bpffs;
mod btf;
mod entry_mapping;
mod error;
pub mod ethtool;
mod events;
mod grace_period;
mod interface_table;
mod interfaces;
mod load;
mod mapping;
mod maps;
pub mod memory;
mod mode;
mod neighbour_requests;
mod own_hosts;
mod own_map;
mod packet_socket;
mod per_cpu;
mod probe_program;
mod probes;
mod saved_sync_daemon;
mod stage_programs;
mod trace;
mod wire;

pub use bench::{BenchPrograms, TcAttachment};
pub use bpffs::Directory;
pub use entry_mapping::EntryMapping;
pub use error::KernelError;
pub use events::Events;
pub use grace_period::wait_for_readers;
pub use interface_table::InterfaceTable;
pub(crate) use interfaces::dump as links;
pub use load::{DEFAULT_ENTRIES4, DEFAULT_ENTRIES6, DataPath, Options, Verified, verify};
pub use mapping::{Mapping, Plain};
pub use maps::{Maps, SENDING_PEERS, ServiceKeys};
pub use neighbour_requests::NeighbourRequests;
pub use own_hosts::OwnHosts;
pub use packet_socket::PacketSocket;
pub use per_cpu::{Counters, Verdicts};
pub use probes::Probes;
pub use saved_sync_daemon::SavedSyncDaemon;
pub use trace::LostFrames;
