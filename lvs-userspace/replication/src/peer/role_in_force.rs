//! Roles, as directors tell each other.

use lvs_api::role::Role;

/// The role of a director.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleInForce {
    /// The role.
    pub role: Role,
    /// It has just started as backup, and becomes master unless it hears of another one.
    pub candidate: bool,
}

impl From<Role> for RoleInForce {
    fn from(role: Role) -> Self {
        let candidate = false;
        Self { role, candidate }
    }
}
