//! Overrides of the operator, and the maintenance directory.

use std::path::PathBuf;

use lvs_api::health::Override;
use lvs_api::model::{ServerId, ServiceId};
use lvs_api::protocol::{Refusal, RefusalKind};

use super::state::Controller;
use crate::overrides::{self, Overrides};
use crate::service::StateChange;
use crate::writer::Task;

impl Controller {
    /// Applies an override to all servers that it names.
    pub(super) fn set_override(&mut self, change: &Override) -> Result<(), Refusal> {
        for (id, server) in self.named(change)? {
            self.overrides.apply(id, server, change);
            self.apply_overrides(&id, true);
        }
        Ok(())
    }

    /// All overrides as they will be after this one, and their file.
    pub(super) fn overrides_after(
        &self,
        change: &Override,
    ) -> Result<(Overrides, PathBuf), Refusal> {
        let mut overrides = self.overrides.clone();
        for (id, server) in self.named(change)? {
            overrides.apply(id, server, change);
        }
        Ok((overrides, self.overrides_file.clone()))
    }

    /// The servers that an override names, with their services; at least one.
    fn named(&self, change: &Override) -> Result<Vec<(ServiceId, ServerId)>, Refusal> {
        let mut found = Vec::new();
        for id in &self.order {
            let servers = self.services.get(id).map_or(&[][..], |s| &s.servers);
            let servers = servers.iter().map(|server| server.configured.id);
            found.extend(
                servers
                    .filter(|s| overrides::applies_to(change, id, s))
                    .map(|s| (*id, s)),
            );
        }
        if found.is_empty() {
            let message = "no such real server is looked after";
            return Err(Refusal::new(RefusalKind::NoSuchServer, message));
        }
        Ok(found)
    }

    /// Applies the overrides in force to the servers of a service; `report`: changes become events.
    pub(super) fn apply_overrides(&mut self, id: &ServiceId, report: bool) {
        let Some(service) = self.services.get_mut(id) else {
            return;
        };
        for server in &mut service.servers {
            let (address, admin) = (server.configured.id, server.admin);
            let current = self.overrides.of(id, &address);
            (server.admin, server.weight_override) = (current.state, current.weight);
            if report && admin != current.state {
                service
                    .pending
                    .push(StateChange::Admin(address, current.state));
            }
        }
        self.dirty.insert(*id);
        self.watches.update_pauses(&mut self.services, id);
    }

    /// Takes out the servers of a service that files of the maintenance directory name, and no others.
    pub(super) fn apply_maintenance(&mut self, id: &ServiceId) {
        let Some(service) = self.services.get_mut(id) else {
            return;
        };
        let mut changed = false;
        for server in &mut service.servers {
            let maintenance = self.maintained.names(server);
            if server.maintenance != maintenance {
                server.maintenance = maintenance;
                let change = StateChange::Maintenance(server.configured.id, maintenance);
                service.pending.push(change);
                changed = true;
            }
        }
        if changed {
            self.dirty.insert(*id);
            self.watches.update_pauses(&mut self.services, id);
        }
    }

    pub(super) fn save_overrides(&self) {
        let (overrides, file) = (self.overrides.clone(), self.overrides_file.clone());
        self.enqueue(Task::Overrides(overrides, file));
    }
}
