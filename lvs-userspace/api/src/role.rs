//! Types about the director's role.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::ServiceId;
use crate::virtual_address::VirtualAddress;

/// Role of a director of a pair.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It holds the virtual addresses, answers clients and sends mail.
    #[default]
    Master,
    /// It is ready to become master: it has services, health of real servers, and connections.
    Backup,
}

impl Role {
    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Backup => "backup",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "master" => Ok(Self::Master),
            "backup" => Ok(Self::Backup),
            _ => Err("it is `master' or `backup'".to_owned()),
        }
    }
}

/// The role of a director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct RoleStatus {
    /// The role in force.
    pub role: Role,
    /// The virtual addresses that a master holds.
    pub addresses: Vec<AddressStatus>,
    /// The checked virtual services of whose real servers this director reaches none.
    #[serde(default)]
    pub reach: ReachStatus,
}

/// Virtual services of whose real servers none is reached from a director, by its own health checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ReachStatus {
    /// Virtual services that are checked.
    pub services: u64,
    /// Those of which no real server is reached from here.
    pub unreached: Vec<ServiceId>,
    /// Of them, those of which a peer has reached one for some time.
    pub reached_elsewhere: Vec<ServiceId>,
    /// There are peers that can be asked.
    pub asked: bool,
}

/// State of one of a director's virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct AddressStatus {
    /// `ADDRESS/PREFIX@INTERFACE`.
    pub address: VirtualAddress,
    /// This director holds it.
    pub held: bool,
    /// Problem that keeps a master from holding or announcing it.
    pub problem: Option<String>,
    /// The Ethernet address of another host that holds it too.
    pub duplicate: Option<String>,
}

/// The end of a master: a handover, the release of its virtual addresses, or neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct SteppedDown {
    /// One sentence; none: it holds none.
    pub done: Option<String>,
}

/// Request to change the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleChange {
    /// From now on.
    pub role: Role,
    /// Even beside a master that is connected.
    #[serde(default)]
    pub force: bool,
}

/// Request to hand the role over to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Handover {
    /// Longest time in milliseconds until the peer has every connection.
    pub timeout: u64,
    /// Even where connections would be lost.
    #[serde(default)]
    pub force: bool,
}
