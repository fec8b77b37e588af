//! How a service comes to what it is to be: its servers change one after the other, and the kernel's IPVS remembers
//! something of each change, however many are made at once.

use std::net::SocketAddr;

use lvs_api::model::{ServerSettings, ServiceId};
use lvs_api::protocol::Edit;

use super::wanted::{Wanted, canonical, identity};
use crate::scheduler::{PoolChange, Pooled};

/// A change of one server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerChange {
    /// It becomes the newest one.
    Added(SocketAddr, ServerSettings),
    /// It gets settings, perhaps those that it has.
    Edited(SocketAddr, ServerSettings),
    /// It is deleted.
    Removed(SocketAddr),
}

/// The changes that lead to a service.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// The service is another one than that of the same identity, which was deleted meanwhile.
    pub(super) begins_anew: bool,
    /// Changes of servers, in their order.
    pub(super) servers: Vec<ServerChange>,
    /// Another scheduler was set on the way.
    rebound: Option<Rebound>,
}

/// Another scheduler is set.
#[derive(Clone, Debug)]
struct Rebound {
    /// The servers that there were.
    pool: Vec<Pooled>,
    /// So many of the changes were made before.
    changes: usize,
}

impl Changes {
    /// Those that lead from one state of a service to another one, where nothing else is known of them.
    pub(super) fn between(before: Option<&Wanted>, after: &Wanted) -> Self {
        let rebound = before.filter(|it| it.settings.scheduler != after.settings.scheduler);
        let rebound = rebound.map(|before| Rebound {
            pool: before.pool(),
            changes: 0,
        });
        let before = before.map_or(&[][..], |before| &before.servers);
        let find = |servers: &[(_, ServerSettings)], id| {
            let found = servers.iter().find(|(other, _)| *other == id);
            found.map(|(_, settings)| *settings)
        };
        let mut changes = Self {
            rebound,
            ..Self::default()
        };
        for (id, settings) in before {
            let server = canonical(id.0);
            match find(&after.servers, *id) {
                None => changes.servers.push(ServerChange::Removed(server)),
                // The kernel's wrr begins its row anew; what sets all services again need not have it do so.
                Some(next)
                    if (next.weight, next.lower, next.upper)
                        == (settings.weight, settings.lower, settings.upper) => {}
                Some(next) => changes.servers.push(ServerChange::Edited(server, next)),
            }
        }
        let added = after.servers.iter().rev();
        let added = added.filter(|(id, _)| find(before, *id).is_none());
        let added = added.map(|(id, settings)| ServerChange::Added(canonical(id.0), *settings));
        changes.servers.extend(added);
        changes
    }

    /// Adds that of an edit of the service as it was before it.
    pub(super) fn add(&mut self, id: &ServiceId, before: Option<&Wanted>, edit: &Edit) {
        match edit {
            Edit::EditService { settings, .. } => {
                let other = before.filter(|before| before.settings.scheduler != settings.scheduler);
                if let Some(before) = other {
                    self.rebound = Some(Rebound {
                        pool: before.pool(),
                        changes: self.servers.len(),
                    });
                }
            }
            Edit::AddServer {
                server, settings, ..
            } => {
                let server = identity(id, server, settings.method).0;
                self.servers.push(ServerChange::Added(server, *settings));
            }
            Edit::EditServer {
                server, settings, ..
            } => {
                let server = identity(id, server, settings.method).0;
                self.servers.push(ServerChange::Edited(server, *settings));
            }
            Edit::DeleteServer { server, .. } => {
                self.servers
                    .push(ServerChange::Removed(canonical(server.0)));
            }
            Edit::DeleteService { .. } | Edit::Flush => {
                *self = Self {
                    begins_anew: true,
                    ..Self::default()
                };
            }
            _ => {}
        }
    }

    /// Nothing changes but settings of the service.
    pub(super) const fn is_empty(&self) -> bool {
        !self.begins_anew && self.servers.is_empty() && self.rebound.is_none()
    }

    /// Returns whether the scheduler forgets what it knew: it is another one, or was meanwhile.
    pub(super) const fn forgets(&self) -> bool {
        self.begins_anew || self.rebound.is_some()
    }

    /// The pool that the scheduler began with, if that was on the way.
    pub(super) fn first_pool(&self) -> Option<&[Pooled]> {
        match &self.rebound {
            Some(rebound) => Some(&rebound.pool),
            None => self.begins_anew.then_some(&[]),
        }
    }

    /// The last weight but 0 that a server gets; one that is added with 0 has none.
    pub(super) fn last_weight(&self, server: SocketAddr) -> Option<u32> {
        self.servers.iter().rev().find_map(|change| match *change {
            ServerChange::Added(other, settings) => (other == server).then_some(settings.weight),
            ServerChange::Edited(other, settings) => {
                (other == server && settings.weight > 0).then_some(settings.weight)
            }
            ServerChange::Removed(_) => None,
        })
    }

    /// As a rotating scheduler sees them.
    pub(super) fn pool(&self) -> Vec<PoolChange> {
        let before = self.rebound.as_ref().map_or(0, |rebound| rebound.changes);
        let changes = self.servers.iter().skip(before);
        let changes = changes.map(|change| match *change {
            ServerChange::Added(server, settings) => PoolChange::Added((server, settings.weight)),
            ServerChange::Edited(server, settings) => PoolChange::Edited((server, settings.weight)),
            ServerChange::Removed(server) => PoolChange::Removed(server),
        });
        changes.collect()
    }
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
