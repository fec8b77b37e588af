//! The user that a command runs as.

use std::fmt;
use std::path::PathBuf;

use nix::unistd::{self, Uid};
use tokio::process::Command;

/// A user of this machine, with one group: supplementary groups are not used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User {
    name: String,
    uid: u32,
    gid: u32,
    home: PathBuf,
}

/// The reason why a text names no user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// There is no user of this name or number.
    #[error("there is no user \"{0}\" on this machine")]
    NoUser(String),
    /// There is no group of this name.
    #[error("there is no group \"{0}\" on this machine")]
    NoGroup(String),
    /// The system's files of users cannot be read.
    #[error("cannot look up \"{0}\": {1}")]
    Lookup(String, nix::Error),
}

impl User {
    /// The user of `USER` or `USER:GROUP`, each by name or number; without a group it is the user's own.
    ///
    /// # Errors
    ///
    /// There is no such user or group.
    pub fn find(text: &str) -> Result<Self, UserError> {
        let (name, group) = match text.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (text, None),
        };
        let failed = |error| UserError::Lookup(name.to_owned(), error);
        let mut found = unistd::User::from_name(name).map_err(failed)?;
        if let (None, Ok(uid)) = (&found, name.parse()) {
            found = unistd::User::from_uid(Uid::from_raw(uid)).map_err(failed)?;
        }
        let user = found.ok_or_else(|| UserError::NoUser(name.to_owned()))?;
        let gid = match group {
            None => user.gid.as_raw(),
            Some(group) => group_id(group)?,
        };
        Ok(Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid,
            home: user.dir,
        })
    }

    /// The kernel's user for nobody, on a machine that names none.
    pub fn overflow() -> Self {
        Self {
            name: "nobody".to_owned(),
            uid: 65534,
            gid: 65534,
            home: PathBuf::from("/"),
        }
    }

    /// Its number.
    pub(crate) const fn id(&self) -> u32 {
        self.uid
    }

    /// True if it may do everything.
    pub const fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// True if, by its permission bits, this user may use a file or folder of this owner in the way of these bits
    /// (4 read, 2 write, 1 execute).
    pub const fn may(&self, bits: u32, mode: u32, owner: u32, group: u32) -> bool {
        let granted = if self.uid == owner {
            mode >> 6
        } else if self.gid == group {
            mode >> 3
        } else {
            mode
        };
        self.is_root() || granted & bits == bits
    }

    /// Makes a command run with this user's group, if that is not root's own.
    pub fn apply_group(&self, command: &mut Command) {
        if self.gid != 0 {
            command.gid(self.gid);
        }
    }

    /// Makes a command run as this user, without supplementary groups.
    pub fn apply(&self, command: &mut Command) {
        command
            .uid(self.uid)
            .gid(self.gid)
            .env("HOME", &self.home)
            .env("USER", &self.name)
            .env("LOGNAME", &self.name);
    }
}

impl fmt::Display for User {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

fn group_id(text: &str) -> Result<u32, UserError> {
    let found = unistd::Group::from_name(text)
        .map_err(|error| UserError::Lookup(text.to_owned(), error))?
        .map(|group| group.gid.as_raw());
    found
        .or_else(|| text.parse().ok())
        .ok_or_else(|| UserError::NoGroup(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_or_number_with_a_group() {
        let nobody = User::find("nobody").unwrap();
        assert!(!nobody.is_root());
        assert_eq!(User::find(&nobody.uid.to_string()).unwrap(), nobody);
        assert_eq!(User::find("nobody:root").unwrap().gid, 0);
        assert_eq!(User::find("nobody:7").unwrap().gid, 7);
        assert!(User::find("root").unwrap().is_root());
        for (wrong, says) in [
            ("no-such-user", "no user \"no-such-user\""),
            ("", "no user \"\""),
            ("nobody:no-such-group", "no group \"no-such-group\""),
        ] {
            let error = User::find(wrong).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn permission_bits_are_those_of_owner_group_or_others() {
        let user = User {
            name: "check".to_owned(),
            uid: 10,
            gid: 20,
            home: PathBuf::new(),
        };
        assert!(user.may(5, 0o005, 0, 0));
        assert!(!user.may(5, 0o001, 0, 0));
        assert!(user.may(5, 0o050, 0, 20));
        assert!(user.may(1, 0o100, 10, 20));
        // As the kernel has it: the owner's bits hold for the owner, even if others may more.
        assert!(!user.may(1, 0o011, 10, 20));
        assert!(User::find("root").unwrap().may(5, 0, 10, 20));
    }
}
