//! The files of `/proc/net` that the kernel's IPVS has.

/// A file of the kernel's IPVS in `/proc/net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcFile {
    /// `ip_vs`: services and real servers.
    Services,
    /// `ip_vs_conn`: connections.
    Connections,
    /// `ip_vs_conn_sync`: connections with their origin.
    ConnectionsSync,
    /// `ip_vs_stats`: traffic of all services together.
    Stats,
    /// `ip_vs_stats_percpu`: the same by CPU.
    StatsPerCpu,
}

impl ProcFile {
    /// The files by name.
    const NAMES: [(&'static str, Self); 5] = [
        ("ip_vs", Self::Services),
        ("ip_vs_conn", Self::Connections),
        ("ip_vs_conn_sync", Self::ConnectionsSync),
        ("ip_vs_stats", Self::Stats),
        ("ip_vs_stats_percpu", Self::StatsPerCpu),
    ];

    /// The file with this name; `/proc/net/` may stand before it.
    pub(super) fn find(name: &str) -> Option<Self> {
        let bare = name.strip_prefix("/proc/net/").unwrap_or(name);
        let found = Self::NAMES.iter().find(|(known, _)| *known == bare);
        found.map(|(_, file)| *file)
    }

    /// All names, for error texts.
    pub(super) fn names() -> String {
        Self::NAMES.map(|(name, _)| name).join(", ")
    }
}
