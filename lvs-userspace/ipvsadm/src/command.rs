//! Commands, as parsed from command lines.

use std::path::PathBuf;

use lvs_api::model::ServiceId;
use lvs_api::protocol::Edit;
use lvs_api::sync::{SyncDaemon, SyncRole};
use lvs_api::sysctl;

use super::proc_file::ProcFile;

/// A parsed command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// `--socket`.
    pub socket: Option<PathBuf>,
    /// The command.
    pub command: Command,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A change: `-A -E -D -C -a -e -d -Z --set`.
    Edit(Edit),
    /// `-L`: all services or one.
    Services {
        /// Only this one.
        only: Option<ServiceId>,
        /// Format of the listing.
        listing: Listing,
    },
    /// `-L -c`.
    Connections {
        /// `-n`.
        numeric: bool,
        /// `--persistent-conn`: with the columns of persistence engines.
        engines: bool,
    },
    /// `-L --timeout`.
    Timeouts,
    /// `-L --daemon`.
    SyncDaemons,
    /// `-S`.
    Save {
        /// `-n`.
        numeric: bool,
    },
    /// `-R`.
    Restore {
        /// `--atomic`: all of the input or nothing.
        atomic: bool,
    },
    /// `--start-daemon`.
    StartDaemon(SyncDaemon),
    /// `--stop-daemon`.
    StopDaemon(SyncRole),
    /// `-h`.
    Help,
    /// `-v`.
    Version,
    /// `--verdicts`: number of packets by verdict.
    Verdicts {
        /// `-X`: also verdicts without packets.
        all: bool,
    },
    /// `--status`.
    Status,
    /// `--list-marks`.
    ListMarks,
    /// `--import-marks`: from standard input.
    ImportMarks,
    /// `--sysctl`: settings of `net.ipv4.vs`.
    Sysctls {
        /// Only this one.
        only: Option<sysctl::Name>,
    },
    /// `--proc`: what the kernel's IPVS has in `/proc/net`.
    Proc(ProcFile),
}

/// Format of a listing of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The columns.
    pub view: View,
    /// `-n`: no names.
    pub numeric: bool,
    /// `-X`: numbers in full.
    pub exact: bool,
    /// Sorted, unless `--nosort`.
    pub sort: bool,
}

/// Columns of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the options are")]
pub enum View {
    #[default]
    Plain,
    Stats,
    Rate,
    Thresholds,
    PersistentConnections,
    TunnelInfo,
}
