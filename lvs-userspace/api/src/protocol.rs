//! What travels over the control socket.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /v1/edits` | one [`Edit`] | 204, or an error status with a [`Refusal`] |
//! | `GET /v1/services` | | [`Services`] |
//! | `GET /v1/connections` | | one [`Connection`] a line (newline-delimited JSON), table order |
//! | `GET /v1/timeouts` | | [`Timeouts`] |
//! | `GET /v1/verdicts` | | list of [`VerdictCount`] |
//! | `GET /v1/marks` | | list of [`MarkRule`] |
//! | `GET /v1/status` | | [`Status`] |
//! | `/v1/sync` | | see [`super::sync`] |
//! | `/v1/role` | | see [`super::role`] |

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::model::{Protocol, ServerId, ServerSettings, ServiceId, ServiceSettings};

/// One change. It is made whole or refused whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
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
    /// Give packets a firewall mark.
    Mark(MarkRule),
}

/// Which packets carry which firewall mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkRule {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Destination address and port; port 0: every port that has neither a rule nor a virtual service
    /// of its own.
    pub address: SocketAddr,
    /// The mark; 0 takes the rule away.
    pub mark: u32,
}

/// Why a request was refused, in the kernel's terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of refusal.
    pub kind: RefusalKind,
    /// A sentence that says what was wrong.
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

/// Kinds of refusals: each is one of the errors the kernel's IPVS answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// ENOMEM: a limit of the tables is reached.
    NoRoom,
    /// EOPNOTSUPP: this director cannot do that.
    NotSupported,
    /// EEXIST on a sync daemon.
    DaemonRunning,
    /// ESRCH on a sync daemon.
    NoDaemon,
    /// ENODEV.
    NoDevice,
    /// Anything else that went wrong inside the daemon.
    Internal,
}

/// All services with their servers, in the order they were added (newest server first).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Services {
    /// Connections the IPv4 table can hold, for the listing's first line.
    pub table_size: u64,
    /// The services.
    pub services: Vec<Service>,
}

/// A virtual service as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Service {
    pub id: ServiceId,
    pub settings: ServiceSettings,
    pub stats: Traffic,
    pub rates: Traffic,
    pub servers: Vec<Server>,
}

/// A real server as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Server {
    pub id: ServerId,
    /// As they were set, also where the address is the director's own: `next_hop` tells that.
    pub settings: ServerSettings,
    pub active: u32,
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    pub stats: Traffic,
    pub rates: Traffic,
    /// Where packets to it go now, for people: `veth0 02:00:00:00:00:01`, or why it is unresolved.
    pub next_hop: String,
}

/// Traffic: counted since the last zeroing, or per second, averaged as IPVS does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Traffic {
    pub connections: u64,
    pub in_packets: u64,
    pub out_packets: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
}

/// One connection or template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Connection {
    /// `None`: a template of a firewall-mark service (protocol IP).
    pub protocol: Option<Protocol>,
    /// Seconds left.
    pub expires: u32,
    pub state: String,
    pub client: SocketAddr,
    pub virtual_address: SocketAddr,
    pub server: SocketAddr,
    pub template: bool,
}

/// Seconds: `ipvsadm --set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Timeouts {
    pub tcp: u32,
    pub tcp_fin: u32,
    pub udp: u32,
}

/// How many packets ended for one reason, all CPUs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct VerdictCount {
    pub name: String,
    pub packets: u64,
    pub explanation: String,
}

/// The daemon and its data path.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// Director's own addresses are never used as real servers unless meant; shown for diagnosis.
    pub unresolved: Vec<IpAddr>,
}

/// An interface with the program attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// `native` or `generic`.
    pub mode: String,
}

/// Occupation of a connection table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Table {
    pub family: crate::model::Family,
    pub entries: u64,
    pub capacity: u64,
}
