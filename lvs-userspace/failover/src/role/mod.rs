//! Which of a pair of directors this one is: the role in force, and how it changes.
//!
//! A director decides nothing about its role: Heartbeat, keepalived, Pacemaker or an operator does.

pub mod handover;
mod saved;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::{error, info};

use self::saved::Saved;
use crate::virtual_address::{Announcing, HoldError, Keeper, release};
use lvs_api::role::AddressStatus;
use lvs_api::role::{Role, RoleStatus};
use lvs_api::virtual_address::VirtualAddress;

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
    /// All addresses of a group or none.
    #[error("the virtual addresses cannot be held: {0}")]
    Hold(#[source] HoldError),
    /// It is backup all the same.
    #[error("the director is backup, but still holds a virtual address: {0}")]
    Release(#[source] HoldError),
}

/// What a master holds, and how it says so.
#[derive(Clone, Debug)]
pub struct Group {
    /// Addresses that move together.
    pub addresses: Vec<VirtualAddress>,
    /// When they are announced.
    pub announcing: Announcing,
}

/// The role in force.
#[derive(Debug)]
pub struct Roles {
    current: watch::Sender<Role>,
    path: PathBuf,
    addresses: Arc<[VirtualAddress]>,
    announcing: Announcing,
    /// What an earlier lvsd may hold.
    earlier: Vec<VirtualAddress>,
    /// One change at a time.
    change: tokio::sync::Mutex<()>,
    /// Of a master.
    keeper: Mutex<Option<Keeper>>,
}

impl Roles {
    /// Of a director whose role is kept in a file. One that took a running data path over (`adopted`)
    /// goes on in the role that it had; another begins in `first`.
    pub fn begin(path: PathBuf, adopted: bool, first: Role, group: Group) -> Self {
        let kept = Saved::read(&path).unwrap_or_else(|error| {
            error!("{} is of no use: {error}", path.display());
            None
        });
        let role = match &kept {
            Some(kept) if adopted => kept.role,
            _ => first,
        };
        Self {
            current: watch::Sender::new(role),
            path,
            addresses: group.addresses.into(),
            announcing: group.announcing,
            earlier: kept.map(|kept| kept.addresses).unwrap_or_default(),
            change: tokio::sync::Mutex::default(),
            keeper: Mutex::default(),
        }
    }

    /// Does what belongs to the role that the director begins in. What cannot be done is in the log, and
    /// addresses that cannot be held are tried again.
    pub async fn settle(&self) {
        let _one = self.change.lock().await;
        let role = self.current();
        info!("this director is {role}");
        // Before they are forgotten, and without those of now: a backup may have been killed on its way.
        let stays =
            |address: &VirtualAddress| role == Role::Master && self.addresses.contains(address);
        let known = self.earlier.iter().chain(&*self.addresses);
        let goes: Vec<_> = known.filter(|address| !stays(address)).cloned().collect();
        if let Err(error) = release(&goes).await {
            error!("{error}");
        }
        if let Err(error) = self.save(role) {
            error!("{error}");
        }
        if role == Role::Master
            && let Err(error) = self.hold(false).await
        {
            error!("{error}");
        }
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
        let kept = self.keeper().as_ref().map(Keeper::status);
        let not_held = |address: &VirtualAddress| AddressStatus {
            address: address.clone(),
            held: false,
            problem: None,
            duplicate: None,
        };
        RoleStatus {
            role: self.current(),
            addresses: kept.unwrap_or_else(|| self.addresses.iter().map(not_held).collect()),
        }
    }

    /// Takes a role; returns when it is done: who becomes master holds all addresses and has announced
    /// them, who becomes backup holds none. Taking the one in force changes nothing.
    pub async fn change(&self, role: Role) -> Result<(), RoleError> {
        let _one = self.change.lock().await;
        let was = self.current();
        if was == role && (role == Role::Master) == self.keeper().is_some() {
            return Ok(());
        }
        // First: whatever happens on the way, the next lvsd finishes it.
        self.save(role)?;
        let outcome = match role {
            Role::Backup => self.let_go().await,
            Role::Master => {
                if let Err(error) = self.hold(true).await {
                    self.save(was)?;
                    return Err(error);
                }
                Ok(())
            }
        };
        self.current.send_replace(role);
        info!("this director is {role} now");
        outcome
    }

    /// Lets go of the addresses and keeps the role: the director ends, and forwards no more.
    pub async fn leave(&self) {
        let _one = self.change.lock().await;
        if let Err(error) = self.let_go().await {
            error!("{error}");
        }
    }

    async fn hold(&self, all: bool) -> Result<(), RoleError> {
        let keeper = Keeper::take(Arc::clone(&self.addresses), self.announcing, all);
        let keeper = keeper.await.map_err(RoleError::Hold)?;
        *self.keeper() = Some(keeper);
        Ok(())
    }

    async fn let_go(&self) -> Result<(), RoleError> {
        let keeper = self.keeper().take();
        let released = match keeper {
            Some(keeper) => keeper.release().await,
            None => release(&self.addresses).await,
        };
        released.map_err(RoleError::Release)
    }

    fn keeper(&self) -> MutexGuard<'_, Option<Keeper>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, role: Role) -> Result<(), RoleError> {
        let saved = Saved {
            role,
            addresses: self.addresses.to_vec(),
        };
        saved.write(&self.path).map_err(|source| RoleError::Save {
            path: self.path.clone(),
            source,
        })
    }
}
