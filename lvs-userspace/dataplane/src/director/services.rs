//! The virtual services by index and by identity, deleted ones with connections included.

use std::collections::{BTreeMap, HashMap};

use lvs_api::model::{ServerId, ServerSettings, ServiceId};

use super::wanted::Wanted;
use crate::scheduler::Rotation;

/// A service index in use.
pub(super) struct Service {
    pub(super) id: ServiceId,
    /// No longer configured, but connections still refer to its servers.
    pub(super) deleted: bool,
    /// Number of the plan in force.
    pub(super) plan: u32,
    pub(super) wanted: Wanted,
    /// One of each of the wanted servers.
    pub(super) members: Vec<Assigned>,
    /// Position of its scheduler in the pool (rr, wrr).
    pub(super) rotation: Rotation,
}

/// The index that was assigned to a wanted server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assigned {
    pub(super) server: u32,
    /// Last weight that was not 0.
    pub(super) last_weight: u32,
}

impl Service {
    /// The same service without servers, deleted.
    pub(super) fn deleted(id: ServiceId, plan: u32, wanted: &Wanted) -> Self {
        Self {
            id,
            deleted: true,
            plan,
            wanted: wanted.without_servers(),
            members: Vec::new(),
            rotation: Rotation::default(),
        }
    }

    /// Members with what is wanted of them.
    pub(super) fn servers(&self) -> impl Iterator<Item = (&ServerId, &ServerSettings, Assigned)> {
        let servers = self.wanted.servers.iter().zip(&self.members);
        servers.map(|((id, settings), member)| (id, settings, *member))
    }

    /// Indexes of its members.
    pub(super) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.members.iter().map(|member| member.server)
    }
}

/// All services.
#[derive(Default)]
pub(super) struct Services {
    by_index: BTreeMap<u32, Service>,
    by_id: HashMap<ServiceId, u32>,
    generation: u64,
    /// Number of times that a configured service came or went.
    identities: u64,
}

impl Services {
    /// Index of a service, deleted or not.
    pub(super) fn index(&self, id: &ServiceId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(super) fn get(&self, index: u32) -> Option<&Service> {
        self.by_index.get(&index)
    }

    /// A configured service with its index.
    pub(super) fn find(&self, id: &ServiceId) -> Option<(u32, &Service)> {
        let index = self.index(id)?;
        let service = self.by_index.get(&index)?;
        (!service.deleted).then_some((index, service))
    }

    /// The services with their indexes, deleted ones included.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Service)> {
        self.by_index
            .iter()
            .map(|(&index, service)| (index, service))
    }

    /// The configured services with their indexes.
    pub(super) fn configured(&self) -> impl Iterator<Item = (u32, &Service)> {
        self.all().filter(|(_, service)| !service.deleted)
    }

    /// Identities of the configured services.
    pub(super) fn ids(&self) -> Vec<ServiceId> {
        self.configured().map(|(_, service)| service.id).collect()
    }

    /// Number of changes so far.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Number of times that a configured service came or went.
    pub(super) const fn identities(&self) -> u64 {
        self.identities
    }

    /// Returns the service that had the index before.
    pub(super) fn insert(&mut self, index: u32, service: Service) -> Option<Service> {
        self.generation += 1;
        let before = self.by_index.get(&index);
        let before = before.filter(|it| !it.deleted).map(|it| it.id);
        if before != Some(service.id).filter(|_| !service.deleted) {
            self.identities += 1;
        }
        self.by_id.insert(service.id, index);
        self.by_index.insert(index, service)
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Service> {
        let service = self.by_index.remove(&index)?;
        self.generation += 1;
        self.identities += u64::from(!service.deleted);
        self.by_id.remove(&service.id);
        Some(service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_a_generation() {
        let id = ServiceId::Mark {
            mark: 1,
            family: lvs_api::model::Family::Ipv4,
        };
        let wanted = Wanted {
            settings: serde_json::from_str("{\"scheduler\":\"rr\"}").unwrap(),
            servers: Vec::new(),
        };
        let service = || Service::deleted(id, 0, &wanted);
        let mut services = Services::default();
        assert_eq!(services.generation(), 0);
        services.insert(3, service());
        services.insert(3, service());
        assert_eq!(services.generation(), 2);
        assert!(services.find(&id).is_none() && services.index(&id) == Some(3));
        assert_eq!(services.identities(), 0, "it was deleted before and after");
        let configured = Service {
            deleted: false,
            ..service()
        };
        services.insert(3, configured);
        assert_eq!((services.generation(), services.identities()), (3, 1));
        services.insert(3, service());
        assert_eq!((services.generation(), services.identities()), (4, 2));
        services.remove(3);
        services.remove(3);
        assert_eq!(services.generation(), 5);
    }
}
