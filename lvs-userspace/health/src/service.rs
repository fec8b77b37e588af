//! One virtual service: its servers, and the desired state of the tables that follows from theirs. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use lvs_api::health::{AdminState, State};
use lvs_api::model::{ServerId, ServerSettings};
use lvs_dataplane::director::{OnDown, Wanted, canonical_service, identity};

use super::pool::{Member, MemberState, Pool, Rules, Selection};
use super::server::Server;
use super::tables::{Change, Desired, Entry, Role, Update};
use crate::model::{RealServer, Virtual};

/// A virtual service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// Its configuration.
    pub(crate) configured: Virtual,
    /// Its real servers, in the file's order.
    pub(crate) servers: Vec<Server>,
    /// Fallback and quorum.
    pub(crate) pool: Pool,
    /// Changes made to it since it was last reconciled.
    pub(crate) pending: Vec<StateChange>,
    /// The state that the tables were asked to have.
    desired: Arc<Desired>,
    /// The settings in the tables may differ from the desired ones.
    dirty_settings: bool,
}

/// Changes by hand of a service in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByHand {
    Nothing,
    /// Its settings or servers are others.
    Edited,
    /// It is not there.
    Deleted,
}

/// Consequences of everything that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reconciled {
    /// The update of the tables.
    pub(crate) update: Update,
    /// Changes of state, for events and logs.
    pub(crate) changes: Vec<StateChange>,
    /// Servers that were lost or are back, and the fate of their connections.
    pub(crate) turned: Vec<(ServerId, OnDown)>,
    /// Moment at which it has to be reconciled again.
    pub(crate) wake: Option<Instant>,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateChange {
    /// A server's state.
    Server(ServerId, State),
    Fallback(bool),
    Quorum(bool),
    /// No server serves.
    Empty,
    /// No real server serves, or one does again: `fallbackcommand` runs, with or without a fallback server.
    OutOfService(bool),
    /// The operator's override of a server's state.
    Admin(ServerId, AdminState),
    /// A file in the maintenance directory names the server, or none does any more.
    Maintenance(ServerId, bool),
}

/// A virtual service in canonical form, with ids as the tables have them: only NAT translates ports. Line numbers
/// are removed.
pub(crate) fn canonical(mut configured: Virtual) -> Virtual {
    configured.line = 0;
    configured.id = canonical_service(&configured.id);
    let id = configured.id;
    let mut known = std::collections::HashSet::new();
    for server in &mut configured.servers {
        server.line = 0;
        server.id = identity(&id, &server.id, server.settings.method);
    }
    configured.servers.retain(|server| known.insert(server.id));
    for fallback in &mut configured.fallbacks {
        fallback.id = identity(&id, &fallback.id, fallback.settings.method);
    }
    configured
}

impl Service {
    /// A (canonical) service, given what the tables hold of it.
    pub(crate) fn adopt(configured: Virtual, table: Option<&Wanted>) -> Self {
        let mut entries = BTreeMap::new();
        for (id, settings) in table.into_iter().flat_map(|table| &table.servers) {
            let role = if configured.servers.iter().any(|server| server.id == *id) {
                Role::Real
            } else if configured.fallbacks.iter().any(|f| f.id == *id) {
                Role::Fallback
            } else {
                Role::Unknown
            };
            let settings = *settings;
            entries.insert(*id, Entry { role, settings });
        }
        let weighs = |id: &ServerId| entries.get(id).is_some_and(Entry::serves);
        let server = |server: &RealServer| Server::new(server.clone(), weighs(&server.id));
        let servers: Vec<Server> = configured.servers.iter().map(server).collect();
        let real = |entry: &Entry| entry.role == Role::Real && entry.serves();
        let fallback =
            configured.fallbacks.iter().any(|f| weighs(&f.id)) && !entries.values().any(real);
        let desired = Desired {
            settings: configured.settings.clone(),
            servers: entries,
        };
        Self {
            configured,
            servers,
            pool: Pool {
                fallback,
                ..Pool::default()
            },
            pending: Vec::new(),
            desired: Arc::new(desired),
            dirty_settings: true,
        }
    }

    /// Takes a new configuration; servers that stay keep their state, and so do new ones that were in the tables
    /// already, put there by hand.
    pub(crate) fn reconfigure(&mut self, configured: Virtual, table: Option<&Wanted>) {
        let there = table.into_iter().flat_map(|table| &table.servers);
        for (id, settings) in there {
            let known = self.desired.servers.contains_key(id);
            if !known && configured.servers.iter().any(|server| server.id == *id) {
                let entry = Entry {
                    role: Role::Real,
                    settings: *settings,
                };
                Arc::make_mut(&mut self.desired).servers.insert(*id, entry);
            }
        }
        let mut before: BTreeMap<ServerId, Server> = std::mem::take(&mut self.servers)
            .into_iter()
            .map(|server| (server.configured.id, server))
            .collect();
        let traffic = |id: &ServerId| {
            let entry = self.desired.servers.get(id);
            entry.is_some_and(|entry| entry.role == Role::Real && entry.serves())
        };
        let server = |configured: &RealServer| {
            if let Some(mut server) = before.remove(&configured.id) {
                server.reconfigure(configured.clone());
                server
            } else {
                Server::new(configured.clone(), traffic(&configured.id))
            }
        };
        self.servers = configured.servers.iter().map(server).collect();
        if configured.quorum.weight != self.configured.quorum.weight {
            self.pool.quorum = None;
        }
        self.configured = configured;
        self.dirty_settings = true;
    }

    /// Compares the service with the tables, which hold `table` of it. A service that is gone is added by the next update.
    pub(crate) fn by_hand(&mut self, table: Option<&Wanted>) -> ByHand {
        let Some(table) = table else {
            Arc::make_mut(&mut self.desired).servers.clear();
            self.dirty_settings = true;
            return ByHand::Deleted;
        };
        let there: BTreeMap<_, _> = table.servers.iter().copied().collect();
        let mut servers = self.desired.servers.iter();
        let same = servers.all(|(id, entry)| there.get(id) == Some(&entry.settings));
        if same && table.settings == self.desired.settings {
            ByHand::Nothing
        } else {
            ByHand::Edited
        }
    }

    /// Updates the states of its servers, selects those that serve, and derives the desired state of the tables.
    pub(crate) fn reconcile(&mut self, now: Instant) -> Reconciled {
        let mut changes = std::mem::take(&mut self.pending);
        for server in &mut self.servers {
            if let Some(state) = server.update_state(now) {
                changes.push(StateChange::Server(server.configured.id, state));
            }
        }
        let up = |server: &&Server| server.state() == State::Up;
        let responses = self.servers.iter().filter(up).filter_map(Server::response);
        let best = responses.min_by(f64::total_cmp);
        let member = |server: &mut Server| Member {
            state: server.member_state(),
            backup: server.configured.backup,
            weight: server.weight(best),
        };
        let members: Vec<Member> = self.servers.iter_mut().map(member).collect();
        let rules = Rules {
            all_backups: self.configured.all_backups,
            fallbacks: !self.configured.fallbacks.is_empty(),
            quorum: &self.configured.quorum,
        };
        let before = self.pool;
        let selections = self.pool.select(&rules, &members);
        changes.extend(pool_changes(before, self.pool));

        let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
        let mut wake = None;
        let desired = Desired {
            servers: self.desired_entries(&selections, &weights, now, &mut wake),
            settings: self.configured.settings.clone(),
        };
        let before = Arc::clone(&self.desired);
        if *before != desired {
            self.desired = Arc::new(desired);
        }
        Reconciled {
            update: Update {
                before,
                dirty_settings: std::mem::take(&mut self.dirty_settings),
                readd: self.configured.readd_quiescent,
                ..self.update("start")
            },
            changes,
            turned: self.turned(),
            wake,
        }
    }

    /// The servers that went down or were taken out since the last call, and those that are up again. A server that
    /// serves as a fallback keeps its connections.
    fn turned(&mut self) -> Vec<(ServerId, OnDown)> {
        let on_down = self.configured.on_down;
        let mut turned = Vec::new();
        for server in &mut self.servers {
            let id = server.configured.id;
            let serves = self.desired.servers.get(&id).is_some_and(Entry::serves);
            let gone = match server.member_state() {
                _ if serves => false,
                MemberState::Out => true,
                MemberState::Up | MemberState::Drain => false,
                // Until its first outcome nothing changes.
                MemberState::Unknown => server.gone,
            };
            if gone != server.gone {
                server.gone = gone;
                turned.push((id, if gone { on_down } else { OnDown::Keep }));
            }
        }
        turned
    }

    /// An update that changes nothing, for a phase of the daemon.
    fn update(&self, phase: &'static str) -> Update {
        Update {
            service: self.configured.id,
            before: Arc::clone(&self.desired),
            after: Some(Arc::clone(&self.desired)),
            dirty_settings: false,
            readd: false,
            phase,
        }
    }

    /// The update that removes the service from the tables.
    pub(crate) fn withdrawal(&self, phase: &'static str) -> Update {
        Update {
            after: None,
            ..self.update(phase)
        }
    }

    fn desired_entries(
        &mut self,
        selections: &[Selection],
        weights: &[u32],
        now: Instant,
        wake: &mut Option<Instant>,
    ) -> BTreeMap<ServerId, Entry> {
        let mut entries = BTreeMap::new();
        let (quiescent, slow_start) = (self.configured.quiescent, self.configured.slow_start);
        for ((server, selection), full) in self.servers.iter_mut().zip(selections).zip(weights) {
            let id = server.configured.id;
            let weight = match selection {
                Selection::Serves => {
                    let (weight, more) = server.ramped(*full, slow_start, now);
                    *wake = [*wake, more].into_iter().flatten().min();
                    Some(weight)
                }
                // It stays until its state is known: it may have connections.
                Selection::Waits if self.desired.servers.contains_key(&id) => Some(0),
                Selection::StandsBy => Some(0),
                Selection::Waits | Selection::Out => quiescent.then_some(0),
            };
            if let Some(weight) = weight {
                let settings = ServerSettings {
                    weight,
                    ..server.configured.settings
                };
                let role = Role::Real;
                entries.insert(id, Entry { role, settings });
            }
        }
        if self.pool.fallback {
            for fallback in &self.configured.fallbacks {
                let (role, settings) = (Role::Fallback, fallback.settings);
                entries.insert(fallback.id, Entry { role, settings });
            }
        }
        entries
    }

    /// Takes back the desired state of an update that the tables refused, so that it is made again.
    pub(crate) fn refused(&mut self, update: &Update) {
        let servers = &mut Arc::make_mut(&mut self.desired).servers;
        for Change { server, .. } in update.changes() {
            match update.before.servers.get(&server) {
                Some(entry) => servers.insert(server, *entry),
                None => servers.remove(&server),
            };
        }
        self.dirty_settings = true;
    }

    /// The weight that the tables are to have.
    pub(crate) fn desired_weight(&self, server: &ServerId) -> Option<u32> {
        let entry = self.desired.servers.get(server);
        entry.map(|entry| entry.settings.weight)
    }
}

fn pool_changes(before: Pool, after: Pool) -> Vec<StateChange> {
    let mut changes = Vec::new();
    if before.fallback != after.fallback {
        changes.push(StateChange::Fallback(after.fallback));
    }
    if after.empty && !before.empty {
        changes.push(StateChange::Empty);
    }
    if before.out_of_service() != after.out_of_service() {
        changes.push(StateChange::OutOfService(after.out_of_service()));
    }
    if let Some(quorum) = after.quorum.filter(|_| after.quorum != before.quorum) {
        changes.push(StateChange::Quorum(quorum));
    }
    changes
}

#[cfg(test)]
#[path = "service_tests.rs"]
pub(crate) mod tests;
