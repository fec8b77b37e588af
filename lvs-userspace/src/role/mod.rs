//! Which of a pair of directors this one is: the role in force, and how it changes.
//!
//! A director decides nothing about its role: Heartbeat, keepalived, Pacemaker or an operator does.

mod saved;

use std::io;
use std::path::PathBuf;

use tokio::sync::watch;
use tracing::{error, info};

use crate::control::role::{Role, RoleStatus};

/// Why a role was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The next lvsd would have gone on in the other one.
    #[error("cannot keep the role in {}: {source}", path.display())]
    Save {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The role in force.
#[derive(Debug)]
pub struct Roles {
    current: watch::Sender<Role>,
    path: PathBuf,
    /// One change at a time.
    change: tokio::sync::Mutex<()>,
}

impl Roles {
    /// Of a director whose role is kept in a file. One that took a running data path over (`adopted`)
    /// goes on in the role that it had; another begins in `first`.
    pub fn begin(path: PathBuf, adopted: bool, first: Role) -> Self {
        let kept = if adopted {
            saved::read(&path)
        } else {
            Ok(None)
        };
        let role = match kept {
            Ok(kept) => kept.unwrap_or(first),
            Err(error) => {
                error!(
                    "the role is {first}: cannot read {}: {error}",
                    path.display()
                );
                first
            }
        };
        let roles = Self {
            current: watch::Sender::new(role),
            path,
            change: tokio::sync::Mutex::default(),
        };
        if let Err(error) = roles.save(role) {
            error!("{error}");
        }
        info!("this director is {role}");
        roles
    }

    /// The role in force.
    pub fn current(&self) -> Role {
        *self.current.borrow()
    }

    /// The role in force, now and whenever it changes.
    pub fn follow(&self) -> watch::Receiver<Role> {
        self.current.subscribe()
    }

    /// What the director does, for people.
    pub fn status(&self) -> RoleStatus {
        RoleStatus {
            role: self.current(),
        }
    }

    /// Takes a role; returns when it is done. Taking the one in force does again what belongs to it.
    pub async fn change(&self, role: Role) -> Result<(), RoleError> {
        let _one = self.change.lock().await;
        // First: whatever happens on the way, the next lvsd finishes it.
        self.save(role)?;
        if self.current.send_replace(role) != role {
            info!("this director is {role} now");
        }
        Ok(())
    }

    fn save(&self, role: Role) -> Result<(), RoleError> {
        saved::write(&self.path, role).map_err(|source| RoleError::Save {
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_daemon_goes_on_in_the_role_of_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lvsd.role");
        let begin = |adopted, first| Roles::begin(path.clone(), adopted, first);
        let roles = begin(false, Role::Backup);
        assert_eq!(roles.current(), Role::Backup);
        let followed = roles.follow();
        roles.change(Role::Master).await.unwrap();
        assert_eq!(*followed.borrow(), Role::Master);
        drop(roles);
        assert_eq!(begin(true, Role::Backup).current(), Role::Master);
        assert_eq!(begin(false, Role::Backup).current(), Role::Backup);
    }

    #[tokio::test]
    async fn a_role_that_cannot_be_kept_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let roles = Roles::begin(folder.path().join("gone/lvsd.role"), true, Role::Master);
        assert!(roles.change(Role::Backup).await.is_err());
        assert_eq!(roles.current(), Role::Master);
    }
}
