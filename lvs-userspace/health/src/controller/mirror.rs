//! A backup mirrors the master's state of real servers, and probes them itself only while there is no master to
//! mirror, or where one of both reaches no server of a service: it may be the network that is down, not the servers.

use std::collections::BTreeSet;

use lvs_api::health::{Override, State};
use lvs_api::model::ServerId;
use lvs_dataplane::director::canonical_service;

use super::state::Controller;
use crate::configured::{Reach, reach};
use crate::overrides::ServerOverride;
use crate::server::Server;
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
        let (mut overridden, mut seen) = (false, BTreeSet::new());
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
            server.on_master = (view.state != State::Unknown).then_some(view.state);
            seen.insert(id);
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
        for id in seen {
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let follows = follows_master(&service.servers);
            let mut changed = false;
            for server in &mut service.servers {
                changed |= server.mirror(server.on_master.filter(|_| follows));
            }
            if !changed {
                continue;
            }
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
                server.on_master = None;
                resumed |= server.mirror(None);
            }
            if resumed {
                self.dirty.insert(id);
                self.watches.update_pauses(&mut self.services, &id);
            }
        }
    }
}

/// Returns whether the servers of a service are as the master sees them.
///
/// Where the master sees none up, this director probes them: it may reach them. Where its own probes find none up, it
/// goes on probing until they do: otherwise it would take them for up as soon as another director is master.
fn follows_master(servers: &[Server]) -> bool {
    let any = servers
        .iter()
        .any(|server| server.on_master == Some(State::Up));
    any && reach(servers) != Reach::None
}
