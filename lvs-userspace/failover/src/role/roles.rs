//! The role in force.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lvs_api::role::{AddressStatus, CarrierStatus, ReachStatus, Role, RoleStatus};
use lvs_api::virtual_address::VirtualAddress;
use lvs_replication::peer::RoleInForce;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tracing::{error, info};

use super::saved::Saved;
use crate::virtual_address::{AddressError, Announcing, Holder, has_neighbours, remove};

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
    /// The same, for peers.
    sent: watch::Sender<RoleInForce>,
    /// The role to begin in.
    first: Role,
    path: PathBuf,
    addresses: Arc<[VirtualAddress]>,
    announcing: Announcing,
    /// Addresses that an earlier lvsd may have added.
    earlier: Vec<VirtualAddress>,
    /// Fields of the file that only a newer lvsd understands.
    newer: Map<String, Value>,
    /// One change at a time.
    change: tokio::sync::Mutex<()>,
    /// `None`: this director is backup.
    holder: Mutex<Option<Holder>>,
}

impl Roles {
    /// The role of a director, which is kept in a file. One that took a running data path over (`adopted`)
    /// goes on in the role that it had; another begins in `first`. One whose file cannot be read may have been
    /// either, and begins as backup.
    pub fn new(path: PathBuf, adopted: bool, first: Role, group: AddressGroup) -> Self {
        let kept = Saved::read(&path);
        let role = match &kept {
            Ok(Some(kept)) if adopted => kept.role,
            Ok(_) => first,
            Err(error) => {
                error!(
                    "the role in {} cannot be read, so this director begins as backup (`lvsadm role master' \
                     makes it master): {error}",
                    path.display()
                );
                Role::Backup
            }
        };
        let kept = kept.unwrap_or_default();
        let (earlier, newer) = kept
            .map(|kept| (kept.addresses, kept.rest))
            .unwrap_or_default();
        Self {
            current: watch::Sender::new(role),
            sent: watch::Sender::new(role.into()),
            first: role,
            path,
            addresses: group.addresses.into(),
            announcing: group.announcing,
            earlier,
            newer,
            change: tokio::sync::Mutex::default(),
            holder: Mutex::default(),
        }
    }

    /// The role to begin in, if no other director says otherwise.
    pub const fn first(&self) -> Role {
        self.first
    }

    /// Until [`Self::apply_initial`] this director is backup. One that would begin as master tells its peers that it
    /// may become so: two that start at the same moment do not both.
    pub fn stand_by(&self) {
        self.current.send_replace(Role::Backup);
        self.sent.send_replace(RoleInForce {
            role: Role::Backup,
            candidate: self.first == Role::Master,
        });
    }

    /// Begins in a role: adds and removes addresses. Failures are logged, and addresses that cannot be added are
    /// tried again.
    pub async fn apply_initial(&self, role: Role) {
        let _one = self.change.lock().await;
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
        self.set(role);
    }

    fn set(&self, role: Role) {
        self.current.send_replace(role);
        self.sent.send_replace(role.into());
    }

    /// The role in force.
    pub fn current(&self) -> Role {
        *self.current.borrow()
    }

    /// The role in force, now and whenever it changes.
    pub fn follow(&self) -> watch::Receiver<Role> {
        self.current.subscribe()
    }

    /// Likewise, as peers are told.
    pub fn follow_for_peers(&self) -> watch::Receiver<RoleInForce> {
        self.sent.subscribe()
    }

    /// True if any number of directors may be master at once: all virtual addresses are on interfaces where no
    /// neighbour resolves them, as behind a router with equal-cost paths.
    pub fn may_be_shared(&self) -> bool {
        let resolved = |address: &VirtualAddress| has_neighbours(&address.interface);
        !self.addresses.is_empty() && !self.addresses.iter().any(resolved)
    }

    /// True for a master that holds virtual addresses.
    pub fn holds_addresses(&self) -> bool {
        let held = |holder: &Holder| holder.status().iter().any(|address| address.held);
        self.holder().as_ref().is_some_and(held)
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
            reach: ReachStatus::default(),
            carrier: CarrierStatus::default(),
            addresses: held.unwrap_or_else(|| self.addresses.iter().map(not_held).collect()),
        }
    }

    /// Changes the role; returns when that is done: a new master holds all addresses and has announced them,
    /// a new backup holds none. The role in force changes nothing but a file that does not say it: when this director
    /// began in it, it could not be written.
    pub async fn change(&self, role: Role) -> Result<(), RoleError> {
        let _one = self.change.lock().await;
        let was = self.current();
        if was == role && (role == Role::Master) == self.holder().is_some() {
            let kept = Saved::read(&self.path).ok().flatten();
            if kept.is_some_and(|kept| kept.role == role) {
                return Ok(());
            }
            return self.save(role);
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
        self.set(role);
        info!("this director is {role} now");
        outcome
    }

    /// Removes the addresses and keeps the role: the director ends, and the next one goes on.
    ///
    /// # Errors
    ///
    /// When an address cannot be removed.
    pub async fn release_addresses(&self) -> Result<(), RoleError> {
        let _one = self.change.lock().await;
        self.release().await
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
            rest: self.newer.clone(),
        };
        saved.write(&self.path).map_err(|source| RoleError::Save {
            path: self.path.clone(),
            source,
        })
    }
}
