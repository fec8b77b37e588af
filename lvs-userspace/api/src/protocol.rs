//! Types of the control API about services, connections, counters, verdicts and the status of the daemon.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::filter::{Filter, FilterStatus};
use crate::mark::MarkRule;
use crate::model::{Protocol, ServerId, ServerSettings, ServiceId, ServiceSettings};
use crate::timeouts::Timeouts;

/// One change to the tables: it is made whole or refused whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "ipvsadm's commands; the fields are types of the model"
)]
pub enum Edit {
    AddService {
        service: ServiceId,
        settings: ServiceSettings,
    },
    EditService {
        service: ServiceId,
        settings: ServiceSettings,
    },
    /// Replace the filter of a service; an empty one removes it.
    SetFilter {
        service: ServiceId,
        filter: Filter,
    },
    DeleteService {
        service: ServiceId,
    },
    /// Delete all services.
    Flush,
    AddServer {
        service: ServiceId,
        server: ServerId,
        settings: ServerSettings,
    },
    EditServer {
        service: ServiceId,
        server: ServerId,
        settings: ServerSettings,
    },
    DeleteServer {
        service: ServiceId,
        server: ServerId,
    },
    /// Zero the counters of one service with its servers, or of all.
    Zero {
        service: Option<ServiceId>,
    },
    /// Seconds; 0 keeps the value in force.
    SetTimeouts(Timeouts),
    /// Set or remove a rule that gives packets a firewall mark.
    Mark(MarkRule),
    /// Set one of the settings of `net.ipv4.vs`.
    SetSysctl {
        name: String,
        value: String,
    },
}

/// Many changes. Each service is written once, at the end, with all its changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Edits {
    /// In their order.
    pub edits: Vec<Edit>,
    /// All of them are made or none. Otherwise one that is refused is left out.
    #[serde(default)]
    pub atomic: bool,
}

/// The changes that were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Refused {
    /// In the order of the request; empty: all were made. Of an atomic request, the first one: nothing was changed.
    pub edits: Vec<RefusedEdit>,
}

/// A change that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct RefusedEdit {
    /// Place in the request, from 0.
    pub place: usize,
    /// The reason.
    pub refusal: Refusal,
}

/// Refusal of a request, in the kernel's terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Refusal {
    /// The kernel's error.
    pub kind: RefusalKind,
    /// Explanation, one sentence.
    pub message: String,
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// A refusal for want of room in the tables.
    pub fn no_room(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::NoRoom, message)
    }
}

/// Kinds of refusals: each is an error of the kernel's IPVS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// EEXIST on a service.
    ServiceExists,
    /// ENOENT on a service: scheduler or persistence engine.
    UnknownScheduler,
    /// ESRCH on a service.
    NoSuchService,
    /// ESRCH on a real server.
    ServiceNotDefined,
    /// EEXIST on a real server.
    ServerExists,
    /// ENOENT on a real server.
    NoSuchServer,
    /// EPERM.
    NotPermitted,
    /// EINVAL.
    Invalid,
    /// ERANGE.
    OutOfRange,
    /// ENOMEM: a table is full.
    NoRoom,
    /// EOPNOTSUPP: this director does not support it.
    NotSupported,
    /// EEXIST on a sync daemon.
    DaemonRunning,
    /// ESRCH on a sync daemon.
    NoDaemon,
    /// ENODEV.
    NoDevice,
    /// EINVAL on a setting of `net.ipv4.vs`, or ENOENT.
    BadSetting,
    /// Any other failure inside the daemon.
    Internal,
}

/// All services with their servers, in the order they were added (newest server first).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Services {
    /// Connections the IPv4 table can hold, for the listing's first line.
    pub table_size: u64,
    /// The services.
    pub services: Vec<Service>,
}

/// A virtual service with its counters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "the names say it")]
pub struct Service {
    pub id: ServiceId,
    pub settings: ServiceSettings,
    pub stats: Traffic,
    pub rates: Traffic,
    /// The size and the counters of its filter; none: it has no filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterStatus>,
    pub servers: Vec<Server>,
}

/// A real server with its counters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "the names say it")]
pub struct Server {
    pub id: ServerId,
    /// As they were set, also where the address is the director's own, which only `next_hop` shows.
    pub settings: ServerSettings,
    pub active: u32,
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    pub stats: Traffic,
    pub rates: Traffic,
    /// Next hop, for people: `veth0 02:00:00:00:00:01`, or the reason why it is unresolved.
    pub next_hop: String,
}

/// Traffic: counted since the last zeroing, or per second, averaged as by IPVS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "the names say it")]
pub struct Traffic {
    pub connections: u64,
    pub in_packets: u64,
    pub out_packets: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
}

/// Traffic of all services together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct TotalTraffic {
    /// Since the last zeroing.
    pub stats: Traffic,
    /// Per second.
    pub rates: Traffic,
    /// By CPU, since the tables were made.
    pub cpus: Vec<Traffic>,
}

/// One connection or template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "the names say it")]
pub struct Connection {
    /// `None`: a template of a firewall-mark service (protocol IP).
    pub protocol: Option<Protocol>,
    /// Seconds left.
    pub expires: u32,
    pub state: String,
    #[cfg_attr(test, schema(value_type = String))]
    pub client: SocketAddr,
    #[cfg_attr(test, schema(value_type = String))]
    pub virtual_address: SocketAddr,
    #[cfg_attr(test, schema(value_type = String))]
    pub server: SocketAddr,
    pub template: bool,
    /// The persistence engine's data of a template, which its key has beside the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineData>,
    /// No packet of it came to this director yet: another one sent it.
    #[serde(default)]
    pub replicated: bool,
}

/// Content of messages by which a persistence engine keeps a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct EngineData {
    /// Name of the engine.
    pub name: String,
    /// Engine `sip`: the Call-ID.
    pub data: String,
}

/// Number of packets that ended with one verdict, on all CPUs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "the names say it")]
pub struct VerdictCount {
    pub name: String,
    pub packets: u64,
    pub explanation: String,
}

/// Status of the daemon and its data path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Layout of the maps.
    pub abi: u32,
    /// Process id of the daemon.
    pub pid: u32,
    /// Interfaces with the program attached.
    pub interfaces: Vec<Interface>,
    /// Connection table, IPv4 then IPv6.
    pub tables: Vec<Table>,
    /// Real servers whose next hop is not resolved.
    #[cfg_attr(test, schema(value_type = Vec<String>))]
    pub unresolved: Vec<IpAddr>,
    /// Source addresses of full NAT that this machine does not have: replies to them do not come back.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = Vec<String>))]
    pub missing_sources: Vec<IpAddr>,
    /// Frames that the kernel did not send after the program had handed them over, since the data path was made.
    #[serde(default)]
    pub lost: Vec<LostFrames>,
    /// None: nobody traces packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
}

/// Somebody traces packets: each that may be asked for takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Tracing {
    /// The number of those who trace.
    pub tracers: usize,
    /// Begin of the oldest of their traces (seconds since 1970), by the wall clock of now.
    pub since: u64,
    /// Seconds since then.
    pub age: u64,
}

/// Frames that the kernel did not send. The verdicts count them as such; services and real servers as forwarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct LostFrames {
    /// The interface that should have sent them.
    pub interface: String,
    /// The reason.
    pub error: String,
    /// Their number.
    pub frames: u64,
    /// The remedy, for people.
    #[serde(default)]
    pub remedy: String,
}

/// An interface with the program attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Interface {
    /// Name.
    pub name: String,
    /// The place of the program: `native` (XDP, in the driver), `tc` (behind it), `native+tc`, or `none`.
    pub mode: String,
    /// The reason for that place.
    #[serde(default)]
    pub why: String,
}

/// Occupation of a connection table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "the names say it")]
pub struct Table {
    pub family: crate::family::Family,
    pub entries: u64,
    pub capacity: u64,
    /// The virtual service that holds more than its share while others need room: it gets no more entries than it
    /// has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_share: Option<ServiceId>,
}
