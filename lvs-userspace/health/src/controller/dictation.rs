//! A backup sees real servers as the master does, and probes them itself only while nobody tells it.

use std::collections::BTreeSet;

use super::Controller;
use crate::orders::Ordered;
use crate::verdict::Verdict;
use lvs_api::health::{Order, State};
use lvs_api::model::ServerId;
use lvs_dataplane::director::canonical_service;

impl Controller {
    /// How this controller sees all real servers.
    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for id in &self.order {
            let servers = self.services.get(id).map_or(&[][..], |s| &s.servers);
            verdicts.extend(servers.iter().map(|server| Verdict {
                service: *id,
                server: server.configured.id.0,
                state: server.state(),
                admin: server.admin,
                weight: server.ordered,
            }));
        }
        verdicts
    }

    /// Sees these servers as the master does from now on. Of those that are not known here the file has
    /// to tell first.
    pub(super) fn dictate(&mut self, verdicts: &[Verdict]) {
        let (mut ordered, mut changed) = (false, BTreeSet::new());
        for verdict in verdicts {
            let id = canonical_service(&verdict.service);
            let address = ServerId(verdict.server);
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let mut servers = service.servers.iter_mut();
            let Some(server) = servers.find(|server| server.configured.id == address) else {
                continue;
            };
            // What the master does not know either is found out here.
            let state = (verdict.state != State::Unknown).then_some(verdict.state);
            if server.dictate(state) {
                changed.insert(id);
            }
            let wanted = Ordered {
                state: verdict.admin,
                weight: verdict.weight,
            };
            if self.orders.of(&id, &address) != wanted {
                for order in [
                    Order::State {
                        service: Some(id),
                        server: verdict.server,
                        state: verdict.admin,
                    },
                    Order::Weight {
                        service: Some(id),
                        server: verdict.server,
                        weight: verdict.weight,
                    },
                ] {
                    self.orders.take(id, address, &order);
                }
                self.take_orders(&id, true);
                ordered = true;
            }
        }
        for id in changed {
            self.stirred.insert(id);
            self.watches.pace(&mut self.services, &id);
        }
        if ordered {
            self.keep_orders();
        }
    }

    /// Nobody tells any more: servers are as they were told last until their probes say otherwise.
    pub(super) fn free(&mut self) {
        for id in self.order.clone() {
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let mut freed = false;
            for server in &mut service.servers {
                freed |= server.dictate(None);
            }
            if freed {
                self.stirred.insert(id);
                self.watches.pace(&mut self.services, &id);
            }
        }
    }
}
