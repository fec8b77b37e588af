//! Name and password of a login.

use std::fmt;

/// Name and password.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Name; empty: none.
    pub login: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    /// Passwords do not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}
