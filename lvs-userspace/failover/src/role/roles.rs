//! The role in force.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lvs_api::role::{AddressStatus, Role, RoleStatus};
use lvs_api::virtual_address::VirtualAddress;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tracing::{error, info};

use super::saved::Saved;
use crate::virtual_address::{AddressError, Announcing, Holder, remove};

/// A failure to change the role.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The next lvsd would have gone on in the other one.
    #[error("cannot keep the role in {}: {source}", path.display())]
    Save {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A master holds all addresses of its group or none.
    #[error("the virtual addresses cannot be held: {0}")]
    Hold(#[source] AddressError),
    /// It is backup all the same.
    #[error("the director is backup, but still holds a virtual address: {0}")]
    Release(#[source] AddressError),
}

/// The virtual addresses of a master.
#[derive(Clone, Debug)]
pub struct AddressGroup {
    /// Addresses that move together.
    pub addresses: Vec<VirtualAddress>,
    /// The number and intervals of their announcements.
    pub announcing: Announcing,
}

/// The role in force, and the addresses that are held in it.
#[derive(Debug)]
pub struct Roles {
    current: watch::Sender<Role>,
    path: PathBuf,
    addresses: Arc<[VirtualAddress]>,
    announcing: Announcing,
    /// Addresses that an earlier lvsd may have added.
    earlier: Vec<VirtualAddress>,
    /// One change at a time.
    change: tokio::sync::Mutex<()>,
    /// `None`: this director is backup.
    holder: Mutex<Option<Holder>>,
}

impl Roles {
    /// The role of a director, which is kept in a file. One that took a running data path over (`adopted`)
    /// goes on in the role that it had; another begins in `first`.
    pub fn new(path: PathBuf, adopted: bool, first: Role, group: AddressGroup) -> Self {
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
            holder: Mutex::default(),
        }
    }

    /// Adds and removes addresses by the role that the director begins in. Failures are logged, and
    /// addresses that cannot be added are tried again.
    pub async fn apply_initial(&self) {
        let _one = self.change.lock().await;
        let role = self.current();
        info!("this director is {role}");
        // Before they are forgotten, and without those of now: a backup may have been killed on its way.
        let stays =
            |address: &VirtualAddress| role == Role::Master && self.addresses.contains(address);
        let known = self.earlier.iter().chain(&*self.addresses);
        let surplus: Vec<_> = known.filter(|address| !stays(address)).cloned().collect();
        if let Err(error) = remove(&surplus).await {
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

    /// The role and the state of the addresses, for people.
    pub fn status(&self) -> RoleStatus {
        let held = self.holder().as_ref().map(Holder::status);
        let not_held = |address: &VirtualAddress| AddressStatus {
            address: address.clone(),
            held: false,
            problem: None,
            duplicate: None,
        };
        RoleStatus {
            role: self.current(),
            addresses: held.unwrap_or_else(|| self.addresses.iter().map(not_held).collect()),
        }
    }

    /// Changes the role; returns when that is done: a new master holds all addresses and has announced them,
    /// a new backup holds none. The role in force changes nothing.
    pub async fn change(&self, role: Role) -> Result<(), RoleError> {
        let _one = self.change.lock().await;
        let was = self.current();
        if was == role && (role == Role::Master) == self.holder().is_some() {
            return Ok(());
        }
        // First: whatever happens on the way, the next lvsd finishes it.
        self.save(role)?;
        let outcome = match role {
            Role::Backup => self.release().await,
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

    /// Removes the addresses and keeps the role: the director ends, and forwards no more.
    pub async fn release_addresses(&self) {
        let _one = self.change.lock().await;
        if let Err(error) = self.release().await {
            error!("{error}");
        }
    }

    async fn hold(&self, all: bool) -> Result<(), RoleError> {
        let holder = Holder::acquire(Arc::clone(&self.addresses), self.announcing, all);
        let holder = holder.await.map_err(RoleError::Hold)?;
        *self.holder() = Some(holder);
        Ok(())
    }

    async fn release(&self) -> Result<(), RoleError> {
        let holder = self.holder().take();
        let released = match holder {
            Some(holder) => holder.release().await,
            None => remove(&self.addresses).await,
        };
        released.map_err(RoleError::Release)
    }

    fn holder(&self) -> MutexGuard<'_, Option<Holder>> {
        self.holder.lock()
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
