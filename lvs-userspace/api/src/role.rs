//! Types about the director's role.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::virtual_address::VirtualAddress;

/// Role of a director of a pair.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
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
pub struct RoleStatus {
    /// The role in force.
    pub role: Role,
    /// The virtual addresses that a master holds.
    pub addresses: Vec<AddressStatus>,
}

/// State of one of a director's virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Request to hand the role over to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// Longest time in milliseconds until the peer has every connection.
    pub timeout: u64,
}
