//! Real servers that do not stand in the file: those of a name, as name servers answer, and those added by hand.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use lvs_api::model::{Family, ServerId, ServerSettings, ServiceId};
use serde::{Deserialize, Serialize};

/// A name of a `servers` line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Query {
    /// The name, without a dot at its end.
    pub name: String,
    /// Family of the addresses that are wanted.
    pub family: Family,
}

impl Query {
    /// Returns whether the name stands for SRV records (RFC 2782): `_http._tcp.example.com`.
    pub fn is_srv(&self) -> bool {
        self.name.starts_with('_')
    }
}

/// A real server that a name has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Found {
    /// Its address.
    pub address: IpAddr,
    /// Port of its SRV record.
    pub port: Option<u16>,
    /// Weight of its SRV record, at least 1.
    pub weight: Option<u32>,
    /// Another SRV record of the name has a better priority.
    pub backup: bool,
}

/// A real server that was added by hand and is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// Its virtual service, in canonical form.
    pub service: ServiceId,
    /// Address and port.
    pub server: ServerId,
    /// Forwarding method, weight, thresholds.
    pub settings: ServerSettings,
}

/// Real servers beside those of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// Servers of names.
    pub found: BTreeMap<Query, Vec<Found>>,
    /// Servers added by hand.
    pub by_hand: Vec<ByHand>,
}

/// The names of a file, and who is asked for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queries {
    /// `nameserver`; none: those of the machine.
    pub nameserver: Option<SocketAddr>,
    /// Names of `servers` lines, each once.
    pub names: Vec<Query>,
}
