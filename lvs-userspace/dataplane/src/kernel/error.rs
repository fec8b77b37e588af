//! Errors between the daemon and the kernel.

use std::io;
use std::path::PathBuf;

use aya::programs::ProgramError;
use lvs_common::abi::PROGRAM;
use tracing::debug;

/// A failed operation on the data path.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KernelError {
    #[error("cannot read the BPF object")]
    Object(#[source] Box<aya_obj::ParseError>),
    #[error("cannot load the BPF object")]
    Load(#[source] Box<aya::EbpfError>),
    #[error("cannot read the log of the programs")]
    Log(#[source] Box<aya_log::Error>),
    #[error("{what} the program {name}")]
    Program {
        what: &'static str,
        name: &'static str,
        source: Box<ProgramError>,
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
    #[error(
        "a folder in a BPF file system cannot have a dot in its name, as {0} has: choose another (--bpffs)"
    )]
    Dotted(String),
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
        source: Box<ProgramError>,
    },
    #[error("cannot attach to the cgroup {}", cgroup.display())]
    AttachCgroup {
        cgroup: PathBuf,
        source: Box<ProgramError>,
    },
    #[error("{} is no cgroup of version 2 (--local-clients)", .0.display())]
    NoCgroup(PathBuf),
    #[error(
        "no cgroup2 file system is mounted: mount one (mount -t cgroup2 none FOLDER) and name it \
         (--local-clients=FOLDER)"
    )]
    NoCgroups,
    #[error("cannot draw the table's secrets from the kernel: {0}")]
    Random(getrandom::Error),
}

impl KernelError {
    pub(super) fn map(what: &'static str, name: &str) -> impl FnOnce(aya::maps::MapError) -> Self {
        let name = name.to_owned();
        move |error| Self::Map {
            what,
            name,
            source: Box::new(error),
        }
    }

    pub(super) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

/// The log can be megabytes long; what went wrong stands at its end.
pub(super) fn load_error(error: ProgramError) -> KernelError {
    const LINES: usize = 20;
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } if !verifier_log.to_string().is_empty() => {
            let log = verifier_log.to_string();
            debug!("{log}");
            let mut last: Vec<&str> = log.trim_end().rsplit('\n').take(LINES).collect();
            last.reverse();
            KernelError::Verifier {
                last: last.join("\n"),
                source: io_error,
            }
        }
        error => program_error("cannot load")(error),
    }
}

pub(super) fn program_error(what: &'static str) -> impl FnOnce(ProgramError) -> KernelError {
    move |source| KernelError::Program {
        what,
        name: PROGRAM,
        source: Box::new(source),
    }
}
