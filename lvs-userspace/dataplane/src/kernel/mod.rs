//! The only folder with aya and with `unsafe`: loads and attaches the program, pins and adopts what
//! the data path consists of, and shows the maps as typed memory.

mod attach;
mod bench;
mod bpffs;
mod entry_mapping;
pub mod ethtool;
mod events;
mod grace_period;
mod gro;
mod interfaces;
mod load;
mod mapping;
mod maps;
pub mod memory;
mod mode;
mod packet_socket;
mod per_cpu;
mod probes;
mod saved_sync_daemon;

use std::io;
use std::path::PathBuf;

pub use attach::Attachment;
pub use bench::BenchPrograms;
pub use bpffs::Directory;
pub use entry_mapping::EntryMapping;
pub use events::Events;
pub use grace_period::wait_for_readers;
pub use load::{DEFAULT_ENTRIES4, DEFAULT_ENTRIES6, DataPath, Options, Verified, verify};
pub use mapping::{Mapping, Plain};
pub use maps::{Maps, SENDING_PEERS, ServiceKeys};
pub use mode::Mode;
pub use packet_socket::PacketSocket;
pub use per_cpu::{Counters, Verdicts};
pub use probes::Probes;
pub use saved_sync_daemon::SavedSyncDaemon;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Errors between the daemon and the kernel.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KernelError {
    #[error("cannot read the BPF object")]
    Object(#[source] Box<aya_obj::ParseError>),
    #[error("cannot load the BPF object")]
    Load(#[source] Box<aya::EbpfError>),
    #[error("{what} the program {name}")]
    Program {
        what: &'static str,
        name: &'static str,
        source: Box<aya::programs::ProgramError>,
    },
    #[error("the kernel's verifier refuses the program, its log ends with:\n{last}")]
    Verifier { last: String, source: io::Error },
    #[error("the BPF object has no {0}: this build is broken")]
    Missing(&'static str),
    #[error("{what} the map {name}")]
    Map {
        what: &'static str,
        name: String,
        source: Box<aya::maps::MapError>,
    },
    #[error("cannot map {name} into memory")]
    Mapping {
        name: String,
        source: nix::errno::Errno,
    },
    #[error("{what} {}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{what} {}", path.display())]
    Pin {
        what: &'static str,
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("another lvsd runs this data path: {} is locked", .0.display())]
    Locked(PathBuf),
    #[error(
        "the data path in {} has map layout {found}, this lvsd needs {wanted}: run the lvsd that made \
         it, or start once with --reset, which removes it with all its connections",
        path.display()
    )]
    Incompatible {
        path: PathBuf,
        found: u32,
        wanted: u32,
    },
    #[error(
        "the pinned map {} is not what this lvsd needs ({difference}): start once with --reset, which \
         removes the data path with all its connections",
        path.display()
    )]
    Differs { path: PathBuf, difference: String },
    #[error("there is no interface {0}")]
    NoInterface(String),
    #[error("cannot attach to {interface}: another XDP program is there, detach it first")]
    Busy { interface: String },
    #[error("cannot attach to {interface}")]
    Attach {
        interface: String,
        source: Box<aya::programs::ProgramError>,
    },
    #[error("cannot draw the table's secrets from the kernel: {0}")]
    Random(getrandom::Error),
}

impl KernelError {
    fn map(what: &'static str, name: &str) -> impl FnOnce(aya::maps::MapError) -> Self {
        let name = name.to_owned();
        move |error| Self::Map {
            what,
            name,
            source: Box::new(error),
        }
    }

    fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

/// A key or value of a map, for aya.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Wire<T>(pub(crate) T);

// SAFETY: zerocopy's derives prove that `T` has no padding and that any bytes are a `T`.
unsafe impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> aya::Pod for Wire<T> {}
