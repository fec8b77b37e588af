//! A backup mirrors the master's state of real servers, and probes them itself only while there is no master to
//! mirror.

use std::collections::BTreeSet;

use lvs_api::health::{Override, State};
use lvs_api::model::ServerId;
use lvs_dataplane::director::canonical_service;

use super::state::Controller;
use crate::overrides::ServerOverride;
use crate::server_view::ServerView;

impl Controller {
    /// The state of all real servers, for backups.
    pub(super) fn views(&self) -> Vec<ServerView> {
        let mut views = Vec::new();
        for id in &self.order {
            let servers = self.services.get(id).map_or(&[][..], |s| &s.servers);
            views.extend(servers.iter().map(|server| ServerView {
                service: *id,
                server: server.configured.id.0,
                state: server.state(),
                admin: server.admin,
                weight: server.weight_override,
            }));
        }
        views
    }

    /// Mirrors the master's state of these servers from now on. Servers that this director's file lacks are ignored.
    pub(super) fn mirror(&mut self, views: &[ServerView]) {
        let (mut overridden, mut changed) = (false, BTreeSet::new());
        for view in views {
            let id = canonical_service(&view.service);
            let address = ServerId(view.server);
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let mut servers = service.servers.iter_mut();
            let Some(server) = servers.find(|server| server.configured.id == address) else {
                continue;
            };
            // The master does not know it either: it is probed here.
            let state = (view.state != State::Unknown).then_some(view.state);
            if server.mirror(state) {
                changed.insert(id);
            }
            let wanted = ServerOverride {
                state: view.admin,
                weight: view.weight,
            };
            if self.overrides.of(&id, &address) != wanted {
                for change in [
                    Override::State {
                        service: Some(id),
                        server: view.server,
                        state: view.admin,
                        volatile: false,
                    },
                    Override::Weight {
                        service: Some(id),
                        server: view.server,
                        weight: view.weight,
                        volatile: false,
                    },
                ] {
                    self.overrides.apply(id, address, &change);
                }
                self.apply_overrides(&id, true);
                overridden = true;
            }
        }
        for id in changed {
            self.dirty.insert(id);
            self.watches.update_pauses(&mut self.services, &id);
        }
        if overridden {
            self.save_overrides();
        }
    }

    /// Probes all servers again; they keep the mirrored state until their first outcomes.
    pub(super) fn unmirror(&mut self) {
        for id in self.order.clone() {
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let mut resumed = false;
            for server in &mut service.servers {
                resumed |= server.mirror(None);
            }
            if resumed {
                self.dirty.insert(id);
                self.watches.update_pauses(&mut self.services, &id);
            }
        }
    }
}
