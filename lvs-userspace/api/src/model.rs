//! Virtual services and real servers: identities and settings.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use lvs_common::connection::Protocol as CommonProtocol;
use serde::{Deserialize, Serialize};

pub use crate::family::Family;
use crate::filter::Filter;
use crate::snat::Snat;
use crate::timeouts::Timeouts;

/// Transport protocol of a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "well-known names")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// Its name, as it is listed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

impl From<Protocol> for CommonProtocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
            Protocol::Sctp => Self::Sctp,
        }
    }
}

impl From<CommonProtocol> for Protocol {
    fn from(protocol: CommonProtocol) -> Self {
        match protocol {
            CommonProtocol::Tcp => Self::Tcp,
            CommonProtocol::Udp => Self::Udp,
            CommonProtocol::Sctp => Self::Sctp,
        }
    }
}

/// Identity of a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ServiceId {
    /// Protocol, virtual address and port (0: every port).
    Address {
        /// Transport protocol.
        protocol: Protocol,
        /// Virtual address and port.
        #[cfg_attr(test, schema(value_type = String))]
        address: SocketAddr,
    },
    /// Firewall mark.
    Mark {
        /// The mark, not 0.
        mark: u32,
        /// Family of the packets.
        family: Family,
    },
}

impl ServiceId {
    /// Family of the packets.
    pub fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } if address.is_ipv4() => Family::Ipv4,
            Self::Address { .. } => Family::Ipv6,
            Self::Mark { family, .. } => *family,
        }
    }
}

/// As people read it: `tcp 10.0.0.9:80`, `fwm 3`.
impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { protocol, address } => {
                write!(f, "{} {address}", protocol.name().to_lowercase())
            }
            Self::Mark { mark, .. } => write!(f, "fwm {mark}"),
        }
    }
}

/// Settings of a virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ServiceSettings {
    /// Scheduler name as `ipvsadm -s` takes it.
    pub scheduler: String,
    /// IPVS's scheduler flag bits: 0x08 flag-1 (fallback), 0x10 flag-2 (port), 0x20 flag-3.
    #[serde(default)]
    pub scheduler_flags: u8,
    /// Persistence, if any.
    #[serde(default)]
    pub persistence: Option<Persistence>,
    /// One-packet scheduling.
    #[serde(default)]
    pub one_packet: bool,
    /// Redispatch: a client that repeats its SYN goes to another real server than the one that did not answer it or,
    /// by NAT, refused it.
    /// None, as ipvsadm has no option for it: an edit leaves it unchanged, a new service does without.
    #[serde(default)]
    pub redispatch: Option<bool>,
    /// The fate of the connections of a real server that is deleted or down. None, as ipvsadm has no option for it: an
    /// edit leaves it unchanged, a new service keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_down: Option<OnDown>,
    /// Idle timeouts of its connections, 0 for those of `ipvsadm --set`. None: an edit leaves them unchanged, a new
    /// service has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Persistence engine.
    #[serde(default)]
    pub engine: Option<String>,
    /// Filter. None, as ipvsadm has no option for it: an edit leaves it unchanged, a new service has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
}

/// The fate of the connections of a real server that is down or deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum OnDown {
    /// They stay with it, as IPVS has it without `expire_nodest_conn`: while it is deleted their packets are dropped.
    #[default]
    Keep,
    /// As [`OnDown::Reschedule`], and both sides are reset at once: the server's, too, and silent clients are made
    /// to speak.
    Reset,
    /// Their next packets are scheduled anew, or answered with a reset where that makes no sense.
    Reschedule,
}

impl OnDown {
    /// All of them with their names.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("keep", Self::Keep),
        ("reset", Self::Reset),
        ("reschedule", Self::Reschedule),
    ];

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|&(_, on_down)| on_down)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Reset => "reset",
            Self::Reschedule => "reschedule",
        }
    }
}

/// Connections of one client (or network of clients) go to one real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Persistence {
    /// Seconds.
    pub timeout: u32,
    /// Prefix length by which clients are grouped: 32 or 128 for single hosts.
    pub prefix: u8,
}

/// Forwarding method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// `-g`, gatewaying.
    #[default]
    Direct,
    /// `-i`, the packet inside another one.
    Tunnel,
    /// `-m`, masquerading.
    Nat,
    /// The director itself; set by the daemon only.
    Local,
}

/// Settings of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ServerSettings {
    /// Forwarding method.
    pub method: Method,
    /// Weight; 0: no new connections.
    pub weight: u32,
    /// Upper threshold; 0: none.
    #[serde(default)]
    pub upper: u32,
    /// Lower threshold; 0: none.
    #[serde(default)]
    pub lower: u32,
    /// Encapsulation of the tunnel method.
    #[serde(default)]
    pub tunnel: Tunnel,
    /// Full NAT: the real server sees an address of the director in place of the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snat: Option<Snat>,
}

/// Encapsulation of the tunnel method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Tunnel {
    /// IP in IP (RFC 2003, 2473, 4213).
    #[default]
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// Destination port.
        port: u16,
        /// Checksum.
        checksum: Checksum,
    },
    /// GRE (RFC 2784).
    Gre {
        /// Checksum; never [`Checksum::Remote`].
        checksum: Checksum,
    },
}

/// Checksum option of GUE and GRE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// `--tun-nocsum`.
    #[default]
    None,
    /// `--tun-csum`.
    Full,
    /// `--tun-remcsum`.
    Remote,
}

/// Address and port of a real server, its identity within a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, schema(value_type = String))]
#[serde(transparent)]
pub struct ServerId(pub SocketAddr);

impl ServerId {
    /// The server's address.
    pub fn address(&self) -> IpAddr {
        self.0.ip()
    }
}
