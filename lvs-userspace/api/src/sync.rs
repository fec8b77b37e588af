//! Types about connection replication in the messages of the kernel's IPVS.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// The group that IPVS sends to.
pub const DEFAULT_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
/// Its UDP port.
pub const DEFAULT_PORT: u16 = 8848;
/// Messages stay on the link.
pub const DEFAULT_TTL: u8 = 1;

/// The two ends of connection synchronization: a master sends, a backup receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "well-known names")]
pub enum SyncRole {
    Master,
    Backup,
}

impl SyncRole {
    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Backup => "backup",
        }
    }
}

/// Options of `--start-daemon`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "named as the options are")]
pub struct SyncDaemon {
    pub role: SyncRole,
    pub interface: String,
    #[serde(default)]
    pub syncid: u8,
    /// 224.0.0.81 by default.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub group: Option<IpAddr>,
    /// 8848 by default.
    #[serde(default)]
    pub port: Option<u16>,
    /// 1 by default.
    #[serde(default)]
    pub ttl: Option<u8>,
    /// Bytes of a message at most, without the headers of IP and UDP: what fits 1500 bytes by
    /// default.
    #[serde(default)]
    pub max_length: Option<u16>,
}

/// A command to the sync daemons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SyncCommand {
    /// `--start-daemon`.
    Start(SyncDaemon),
    /// `--stop-daemon`.
    Stop(SyncRole),
}

/// Status of both sync daemons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct SyncStatus {
    /// The daemons that are to run, the master first, with every option filled in.
    pub daemons: Vec<SyncDaemonStatus>,
    /// Counters of the master since lvsd started.
    pub sent: SyncSent,
    /// Counters of the backup since lvsd started.
    pub received: SyncReceived,
}

/// One of the two daemons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct SyncDaemonStatus {
    /// Its options.
    pub daemon: SyncDaemon,
    /// Problem that keeps it from running.
    pub problem: Option<String>,
}

/// Counters of a master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct SyncSent {
    /// Datagrams.
    pub messages: u64,
    /// Connections and templates in them.
    pub entries: u64,
    /// Datagrams that the network refused.
    pub failed: u64,
    /// Events of the data path that did not fit into their buffer: a scan of the whole table makes up
    /// for them.
    pub lost_events: u64,
    /// Scans of the whole table, at the start and after lost events.
    #[serde(alias = "rounds")]
    pub scans: u64,
}

/// Counters of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct SyncReceived {
    /// Datagrams.
    pub messages: u64,
    /// Connections and templates that were applied.
    pub entries: u64,
    /// Datagrams that arrived faster than they were applied, and found the socket's buffer full.
    #[serde(default)]
    pub overflowed: u64,
    /// Connections and templates that wait for their real server or virtual service.
    #[serde(default)]
    pub unbound: u64,
    /// Discarded messages and entries, by reason; reasons that occurred.
    pub discarded: Vec<DiscardCount>,
}

/// Number of messages and entries discarded for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "the names say it")]
pub struct DiscardCount {
    pub name: String,
    pub count: u64,
    pub explanation: String,
}
