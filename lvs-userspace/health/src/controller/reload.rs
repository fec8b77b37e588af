//! From one configuration to the next: what is the same goes on undisturbed.

use std::collections::HashSet;

use lvs_api::model::ServiceId;
use tracing::info;

use super::request::Tables;
use super::state::Controller;
use super::{difference, events};
use crate::model::Configuration;
use crate::service::{ByHand, Service, canonical};
use crate::tables::Name;
use crate::writer::Task;

impl Controller {
    /// Takes a new configuration. `whole`: services that were deleted by hand are added.
    pub(super) fn reload(&mut self, configuration: Configuration, tables: &Tables, whole: bool) {
        let first = self.order.is_empty();
        if self.globals.maintenance != configuration.globals.maintenance {
            let directory = configuration.globals.maintenance.clone();
            self.directory.send_replace(directory);
        }
        self.globals = configuration.globals;
        let mut order = Vec::new();
        let mut known: HashSet<ServiceId> = HashSet::new();
        for wanted in configuration.virtuals {
            let wanted = canonical(wanted);
            let id = wanted.id;
            if !known.insert(id) {
                continue;
            }
            order.push(id);
            match self.services.get_mut(&id) {
                Some(service) if service.configured == wanted => {
                    if whole {
                        match service.by_hand(tables.get(&id)) {
                            ByHand::Nothing => {}
                            ByHand::Edited => {
                                info!("reload: {}: what was changed by hand stays", Name(id));
                            }
                            ByHand::Deleted => {
                                info!("reload: {}: was deleted by hand, and is added", Name(id));
                                self.dirty.insert(id);
                            }
                        }
                    }
                    continue;
                }
                Some(service) => {
                    if whole {
                        service.by_hand(tables.get(&id));
                    }
                    for line in difference::between(&service.configured, &wanted) {
                        info!("reload: {}: {line}", Name(id));
                    }
                    service.reconfigure(wanted, tables.get(&id));
                }
                None => {
                    if !first {
                        info!("reload: {}: new", Name(id));
                    }
                    let service = Service::adopt(wanted, tables.get(&id));
                    self.services.insert(id, service);
                }
            }
            if let Some(service) = self.services.get_mut(&id) {
                events::stamp_new(service);
                self.watches.subscribe(service);
                let servers = service.servers.iter().map(|server| &server.configured);
                self.agents.follow(id, servers);
            }
            self.apply_overrides(&id, false);
            self.apply_maintenance(&id);
        }
        for id in std::mem::replace(&mut self.order, order) {
            if !known.contains(&id) {
                self.withdraw(&id);
            }
        }
        let services = &self.services;
        self.overrides.retain(|id, server| {
            let servers = services.get(id).map_or(&[][..], |service| &service.servers);
            servers.iter().any(|s| s.configured.id == *server)
        });
    }

    /// Withdraws a service that the file no longer names.
    fn withdraw(&mut self, id: &ServiceId) {
        self.watches.unsubscribe(id);
        self.agents.follow(*id, [].iter());
        let Some(service) = self.services.remove(id) else {
            return;
        };
        info!("reload: {}: gone", Name(*id));
        let job = events::withdrawal(&service, "reload", &self.globals);
        self.enqueue(Task::Job(Box::new(job)));
    }
}
