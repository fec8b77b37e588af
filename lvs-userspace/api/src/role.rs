//! Types about the director's role.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

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
    /// The carrier of the interfaces of its virtual addresses.
    #[serde(default)]
    pub carrier: CarrierStatus,
}

/// Interfaces of virtual addresses by which a director reaches nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct CarrierStatus {
    /// Those of this director that are down or have no carrier.
    pub missing: Vec<String>,
    /// Of a peer all of them have been up for some time, while this director's were not.
    pub elsewhere: bool,
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

/// Request to change the role. Without force it is the role alone, as lvsd 0.1 takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(from = "RoleRequest")]
pub struct RoleChange {
    /// From now on.
    pub role: Role,
    /// Even beside a master that is connected.
    #[cfg_attr(test, schema(required = false))]
    pub force: bool,
}

/// The forms of the body of a request to change the role.
#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum RoleRequest {
    Role(Role),
    Change {
        role: Role,
        #[serde(default)]
        force: bool,
    },
}

impl From<RoleRequest> for RoleChange {
    fn from(request: RoleRequest) -> Self {
        match request {
            RoleRequest::Role(role) => Self { role, force: false },
            RoleRequest::Change { role, force } => Self { role, force },
        }
    }
}

impl Serialize for RoleChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { role, force } = *self;
        let request = if force {
            RoleRequest::Change { role, force }
        } else {
            RoleRequest::Role(role)
        };
        request.serialize(serializer)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_asked_for_by_its_word_alone_or_with_force() {
        let change = |role, force| RoleChange { role, force };
        for (text, expected) in [
            ("\"master\"", change(Role::Master, false)),
            (
                "{\"role\":\"master\",\"force\":true}",
                change(Role::Master, true),
            ),
        ] {
            assert_eq!(serde_json::from_str::<RoleChange>(text).unwrap(), expected);
            assert_eq!(serde_json::to_string(&expected).unwrap(), text);
        }
        let without = serde_json::from_str::<RoleChange>("{\"role\":\"backup\"}").unwrap();
        assert_eq!(without, change(Role::Backup, false));
        for text in ["\"captain\"", "{\"role\":\"master\",\"now\":true}", "{}"] {
            serde_json::from_str::<RoleChange>(text).unwrap_err();
        }
    }
}
