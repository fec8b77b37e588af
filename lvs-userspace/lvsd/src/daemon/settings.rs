//! Settings of a daemon.

use std::path::PathBuf;

use lvs_api::role::Role;
use lvs_dataplane::device::Modes;
use lvs_dataplane::kernel::Options;
use lvs_failover::role::AddressGroup;
use lvs_replication::ipvs::SyncOptions;

use super::peers::PeerSettings;
use crate::logging::Log;

/// Settings of a daemon, from its command line.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// File of services; without one the tables stay as they are found.
    pub config: Option<PathBuf>,
    /// Interfaces to run on; none: where the program runs already.
    pub interfaces: Vec<String>,
    /// The places where the programs run on them.
    pub modes: Modes,
    /// Cgroup whose processes on this machine are clients, too; empty: its root. None: none are.
    pub local_clients: Option<PathBuf>,
    /// Folder where the data path is pinned.
    pub bpffs: PathBuf,
    /// Control socket.
    pub socket: PathBuf,
    /// Folder of files that outlive a reboot.
    pub state: PathBuf,
    /// Sizes and options of the data path.
    pub options: Options,
    /// Options of connection replication in the messages of IPVS.
    pub sync: SyncOptions,
    /// Settings of `net.ipv4.vs` with their values.
    pub sysctls: Vec<(String, String)>,
    /// User of health checks' commands, `USER` or `USER:GROUP`; none: nobody.
    pub check_user: Option<String>,
    /// Role to start in, unless the data path that is taken over has one.
    pub role: Role,
    /// Virtual addresses that a master holds, and their announcement.
    pub group: AddressGroup,
    /// Other directors; none: it is alone.
    pub peers: Option<PeerSettings>,
    /// Address to serve HTTP at; none: only the control socket is served.
    pub http: Option<lvs_http::Options>,
    /// Remove the data path that is there first.
    pub reset: bool,
    /// Leave the virtual addresses where they are at the end.
    pub keep_addresses: bool,
    /// Remove the data path at the end.
    pub detach_on_exit: bool,
    /// Log whose destination the file names; none: the log goes to a terminal or a supervisor.
    pub log: Option<Log>,
}

impl Settings {
    /// True if the virtual addresses stay at the end: packets to them are forwarded still.
    pub(super) const fn keeps_addresses(&self) -> bool {
        self.keep_addresses && !self.detach_on_exit
    }

    /// Path of the file of real servers beside those of the file, for the director of this socket.
    pub(super) fn additions(&self) -> PathBuf {
        let name = self.socket.with_extension("servers");
        self.state.join(name.file_name().unwrap_or_default())
    }

    /// Path of the file of operators' overrides, for the director of this socket.
    pub(super) fn overrides(&self) -> PathBuf {
        let name = self.socket.with_extension("orders");
        self.state.join(name.file_name().unwrap_or_default())
    }
}
