//! Types about the health of real servers.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::model::{ServerId, ServerSettings, ServiceId};

/// An operator's override for a real server. Kept over a restart of the daemon, unless it is volatile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Override {
    /// Ready, drain or maintenance.
    State {
        /// In this virtual service; none: in all that have the server.
        service: Option<ServiceId>,
        /// Address and port; port 0: the address with any port.
        #[cfg_attr(test, schema(value_type = String))]
        server: SocketAddr,
        /// From now on.
        state: AdminState,
        /// Only until the daemon ends; otherwise it is refused where it cannot be kept.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        volatile: bool,
    },
    /// The weight in place of the configured one.
    Weight {
        /// In this virtual service; none: in all that have the server.
        service: Option<ServiceId>,
        /// Address and port; port 0: the address with any port.
        #[cfg_attr(test, schema(value_type = String))]
        server: SocketAddr,
        /// From now on.
        weight: Weight,
        /// Only until the daemon ends; otherwise it is refused where it cannot be kept.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        volatile: bool,
    },
}

/// A real server that does not stand in the file, and belongs to a virtual service that does. Kept over a reload and a
/// restart of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ServerByHand {
    /// It is checked as the others of the service, and in the tables while it is up.
    Check {
        /// The virtual service.
        service: ServiceId,
        /// The real server.
        server: ServerId,
        /// Forwarding method, weight, thresholds.
        settings: ServerSettings,
    },
    /// It is not checked any more, and leaves the tables.
    Remove {
        /// The virtual service.
        service: ServiceId,
        /// The real server.
        server: ServerId,
    },
}

/// An operator's override of a real server's state; the later ones leave less of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AdminState {
    /// None: traffic, as long as its health checks pass.
    #[default]
    Ready,
    /// No new connections (but those of persistent clients); it is probed all the same.
    Drain,
    /// Neither traffic nor probes.
    Maint,
}

/// A weight that an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// As configured.
    Configured,
    /// This.
    Absolute(u32),
    /// That part of the configured weight.
    Percent(u32),
}

/// State of all virtual services of the file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "the name says it")]
pub struct Health {
    pub services: Vec<ServiceHealth>,
    /// Durations of the health checks that were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub durations: Vec<CheckDurations>,
}

/// Durations of the health checks of one kind that passed, or of those that failed, since the daemon started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct CheckDurations {
    /// The kind as the file names it: `http`, `connect`.
    pub kind: String,
    /// They passed.
    pub passed: bool,
    /// Checks up to each of [`Self::BOUNDS_MS`] and above the bound before, then those above all.
    pub buckets: Vec<u64>,
    /// Sum of the durations in microseconds.
    pub sum_us: u64,
}

impl CheckDurations {
    /// Upper bounds of the buckets in milliseconds.
    pub const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000];
}

/// A virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ServiceHealth {
    /// Its identity.
    pub id: ServiceId,
    /// `servicename`.
    pub name: Option<String>,
    /// True while it has its quorum; none: it has no quorum configured.
    pub quorum: Option<bool>,
    /// True while its fallback servers are in use.
    pub fallback: bool,
    /// Its real servers, in the order of the file.
    pub servers: Vec<ServerHealth>,
    /// Real servers that are in the tables, but not in the file: nobody checks them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<UncheckedServer>,
    /// Fallback servers, in use or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schema(value_type = Vec<String>))]
    pub fallbacks: Vec<SocketAddr>,
    /// Names of its `servers` lines that no name server answers for as it should, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameTrouble>,
    /// Real servers that answer no client, with the likely reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
}

/// A real server of a virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ServerHealth {
    /// Address and port.
    #[cfg_attr(test, schema(value_type = String))]
    pub address: SocketAddr,
    /// Host name it was given by, if any.
    pub name: Option<String>,
    /// The state that its health checks give it.
    pub state: State,
    /// The operator's override.
    pub admin: AdminState,
    /// A file in the maintenance directory names it.
    pub maintenance: bool,
    /// Used only while no other server is up.
    pub backup: bool,
    /// Seconds since 1970 at which `state` began, by the wall clock of now.
    pub since: u64,
    /// Seconds since `state` began, whatever became of the wall clock.
    #[serde(default)]
    pub age: u64,
    /// Sentence of the last probe; empty before the first.
    pub last: String,
    /// Duration of the last probe in microseconds. Probes whose sentence is the same as that of the one before
    /// leave it as it is: it is that of the last one that took another number of whole milliseconds.
    pub took_us: u64,
    /// Health checks that passed, since they were begun.
    #[serde(default)]
    pub checks_passed: u64,
    /// Health checks that failed.
    #[serde(default)]
    pub checks_failed: u64,
    /// Times that it went down.
    #[serde(default)]
    pub times_down: u64,
    /// Seconds for which it was down, those of now included.
    #[serde(default)]
    pub seconds_down: u64,
    /// Outcomes in a row that speak for the other state.
    pub towards: u32,
    /// Outcomes in a row that it takes.
    pub needed: u32,
    /// Weight of the configuration.
    pub configured: u32,
    /// Weight in the tables; none: the server is not in them.
    pub effective: Option<u32>,
    /// Connections that are being used.
    pub active: u32,
    /// Other connections.
    pub inactive: u32,
}

/// A real server in the tables that is not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct UncheckedServer {
    /// Address and port.
    #[cfg_attr(test, schema(value_type = String))]
    pub address: SocketAddr,
    /// Weight in the tables.
    pub weight: u32,
    /// Connections that are being used.
    pub active: u32,
    /// Other connections.
    pub inactive: u32,
}

/// A name of a `servers` line that is not answered for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct NameTrouble {
    /// The name.
    pub name: String,
    /// The problem, as a sentence.
    pub reason: String,
}

/// State of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Unknown until the first outcome.
    Unknown,
    /// Its health checks pass.
    Up,
    /// Its health checks fail.
    Down,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Event {
    /// Seconds since 1970, with a fraction.
    pub time: f64,
    /// The virtual service; none: it is about the director itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// The real server; none: it is about the whole service, or the director.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub server: Option<SocketAddr>,
    /// The peer, virtual address or interface that an event of the director is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Kind of the change: `up`, `down`, `drain`, `maint`, `ready`, `quorum-gained`,
    /// `quorum-lost`, `fallback-on`, `fallback-off`, `empty`; `unanswered`: a real server answers no client;
    /// `table-filling` and `table-relieved` are about the connection table, and name the virtual service that holds
    /// most of it. Those of the director itself: `master`, `backup`, `handover-done`, `handover-failed`,
    /// `peer-connected`, `peer-lost`, `peer-refused`, `peer-differs`, `peer-agrees`, `address-conflict`,
    /// `address-conflict-over`, `interface-mode`, `link-up`, `link-down`, `frames-lost`.
    pub event: String,
    /// Reason, one sentence.
    pub reason: String,
    /// The line in the log, in ldirectord's words: `Deleted real server: 10.0.0.1:80 (10.0.0.3:80)`.
    pub text: String,
    /// Weight in the tables afterwards, of a server that is in them.
    pub weight: Option<u32>,
}

impl Event {
    /// The time of an event that happens now.
    pub fn now() -> f64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.unwrap_or_default().as_secs_f64()
    }

    /// An event of the director itself that happens now.
    pub fn of_director(event: &str, subject: Option<&str>, reason: &str, text: String) -> Self {
        Self {
            time: Self::now(),
            service: None,
            server: None,
            subject: subject.map(str::to_owned),
            event: event.to_owned(),
            reason: reason.to_owned(),
            text,
            weight: None,
        }
    }
}
