//! What travels over the control socket about connection synchronization.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /v1/sync` | one [`SyncOrder`] | 204, or an error status with a refusal |
//! | `GET /v1/sync` | | [`SyncStatus`] |

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// The group that IPVS sends to.
pub const DEFAULT_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
/// Its UDP port.
pub const DEFAULT_PORT: u16 = 8848;
/// Messages stay on the link.
pub const DEFAULT_TTL: u8 = 1;

/// Which end of connection synchronization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named as the options are")]
pub struct SyncDaemon {
    pub role: SyncRole,
    pub interface: String,
    #[serde(default)]
    pub syncid: u8,
    /// 224.0.0.81 unless told otherwise.
    #[serde(default)]
    pub group: Option<IpAddr>,
    /// 8848 unless told otherwise.
    #[serde(default)]
    pub port: Option<u16>,
    /// 1 unless told otherwise.
    #[serde(default)]
    pub ttl: Option<u8>,
    /// Bytes of a message at most, without the headers of IP and UDP: what fits 1500 bytes unless told
    /// otherwise.
    #[serde(default)]
    pub max_length: Option<u16>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SyncOrder {
    /// `--start-daemon`.
    Start(SyncDaemon),
    /// `--stop-daemon`.
    Stop(SyncRole),
}

/// How synchronization goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// The daemons that are to run, the master first, with every option filled in.
    pub daemons: Vec<SyncDaemonStatus>,
    /// What was sent since lvsd started.
    pub sent: Sent,
    /// What was received since lvsd started.
    pub received: Received,
}

/// One of the two daemons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDaemonStatus {
    /// Its options.
    pub daemon: SyncDaemon,
    /// What keeps it from running, if anything.
    pub problem: Option<String>,
}

/// What a master sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Datagrams.
    pub messages: u64,
    /// Connections and templates in them.
    pub entries: u64,
    /// Datagrams that the network refused.
    pub failed: u64,
    /// Events of the data path that did not fit into their buffer: a round over the whole table makes up
    /// for them.
    pub lost_events: u64,
    /// Rounds over the whole table, at the start and after lost events.
    pub rounds: u64,
}

/// What a backup received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Datagrams.
    pub messages: u64,
    /// Connections and templates that were taken.
    pub entries: u64,
    /// Datagrams that came faster than they were taken, so that the socket had no room for them.
    #[serde(default)]
    pub overflowed: u64,
    /// Connections and templates that wait for their real server or virtual service.
    #[serde(default)]
    pub unbound: u64,
    /// What was not, by reason; reasons that occurred.
    pub discarded: Vec<DiscardCount>,
}

/// How much was not taken for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DiscardCount {
    pub name: String,
    pub count: u64,
    pub explanation: String,
}
