//! One virtual service under care: its servers, and what is wanted of the tables for them. Pure.

use std::collections::BTreeMap;
use std::time::Instant;

use super::pool::{Member, Part, Pool, Rules};
use super::server::Server;
use super::tables::{Change, Role, Whole};
use crate::model::{RealServer, Virtual};
use lvs_api::health::{AdminState, State};
use lvs_api::model::{ServerId, ServerSettings};
use lvs_dataplane::director::{Wanted, canonical_service, identity};

/// A virtual service.
#[derive(Clone, Debug)]
pub struct Service {
    /// What the file says.
    pub configured: Virtual,
    /// Its real servers, in the file's order.
    pub servers: Vec<Server>,
    /// How they stand together.
    pub pool: Pool,
    /// What was done to it since the conclusions were drawn.
    pub done: Vec<Happened>,
    /// The entries that the tables were asked to have.
    entries: BTreeMap<ServerId, (Role, ServerSettings)>,
}

/// What follows from all that was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// For the tables.
    pub changes: Vec<Change>,
    /// For people.
    pub happened: Vec<Happened>,
    /// When something changes by itself.
    pub wake: Option<Instant>,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Happened {
    /// What the probes of a server say is another thing now.
    Server(ServerId, State),
    Fallback(bool),
    Quorum(bool),
    /// Nobody serves.
    Empty,
    /// The operator ordered it.
    Admin(ServerId, AdminState),
    /// A file in the maintenance directory names the server, or none does any more.
    Maintenance(ServerId, bool),
}

/// A virtual service as the tables and this module name things: only NAT changes ports, and lines of the
/// file do not matter.
pub fn canonical(mut configured: Virtual) -> Virtual {
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
    /// Begins to care for a (canonical) service, given what is in the tables.
    pub fn adopt(configured: Virtual, table: Option<&Wanted>) -> Self {
        let mut entries = BTreeMap::new();
        for (id, settings) in table.into_iter().flat_map(|table| &table.servers) {
            let role = if configured.servers.iter().any(|server| server.id == *id) {
                Role::Real
            } else if configured.fallbacks.iter().any(|f| f.id == *id) {
                Role::Fallback
            } else {
                Role::Unknown
            };
            entries.insert(*id, (role, *settings));
        }
        let weighs = |id: &ServerId| entries.get(id).is_some_and(|(_, s)| s.weight > 0);
        let server = |server: &RealServer| Server::new(server.clone(), weighs(&server.id));
        let servers: Vec<Server> = configured.servers.iter().map(server).collect();
        let real =
            |(role, settings): &(Role, ServerSettings)| *role == Role::Real && settings.weight > 0;
        let fallback =
            configured.fallbacks.iter().any(|f| weighs(&f.id)) && !entries.values().any(real);
        Self {
            configured,
            servers,
            pool: Pool {
                fallback,
                ..Pool::default()
            },
            done: Vec::new(),
            entries,
        }
    }

    /// The file says something else about it now; servers it still names keep their state.
    pub fn reconfigure(&mut self, configured: Virtual) {
        let mut before: BTreeMap<ServerId, Server> = std::mem::take(&mut self.servers)
            .into_iter()
            .map(|server| (server.configured.id, server))
            .collect();
        let traffic = |id: &ServerId| {
            let entry = self.entries.get(id);
            entry.is_some_and(|(role, settings)| *role == Role::Real && settings.weight > 0)
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
    }

    /// Draws the conclusions.
    pub fn settle(&mut self, now: Instant) -> Settled {
        let mut settled = Settled {
            happened: std::mem::take(&mut self.done),
            ..Settled::default()
        };
        for server in &mut self.servers {
            if let Some(state) = server.judge_anew(now) {
                let happened = Happened::Server(server.configured.id, state);
                settled.happened.push(happened);
            }
        }
        let up = |server: &&Server| server.state() == State::Up;
        let responses = self.servers.iter().filter(up).filter_map(Server::response);
        let best = responses.min_by(f64::total_cmp);
        let member = |server: &mut Server| Member {
            standing: server.standing(),
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
        let parts = self.pool.settle(&rules, &members);
        settled.tell(before, self.pool);

        let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
        let entries = self.wanted_entries(&parts, &weights, now, &mut settled.wake);
        settled.changes = changes(&self.entries, &entries);
        self.entries = entries;
        settled
    }

    fn wanted_entries(
        &mut self,
        parts: &[Part],
        weights: &[u32],
        now: Instant,
        wake: &mut Option<Instant>,
    ) -> BTreeMap<ServerId, (Role, ServerSettings)> {
        let mut entries = BTreeMap::new();
        let (quiescent, slow_start) = (self.configured.quiescent, self.configured.slow_start);
        for ((server, part), full) in self.servers.iter_mut().zip(parts).zip(weights) {
            let id = server.configured.id;
            let weight = match part {
                Part::Serves => {
                    let (weight, more) = server.ramped(*full, slow_start, now);
                    *wake = [*wake, more].into_iter().flatten().min();
                    Some(weight)
                }
                // Not taken away while nobody knows: it may have connections.
                Part::Waits if self.entries.contains_key(&id) => Some(0),
                Part::StandsBy => Some(0),
                Part::Waits | Part::Out => quiescent.then_some(0),
            };
            if let Some(weight) = weight {
                let settings = ServerSettings {
                    weight,
                    ..server.configured.settings
                };
                entries.insert(id, (Role::Real, settings));
            }
        }
        if self.pool.fallback {
            for fallback in &self.configured.fallbacks {
                entries.insert(fallback.id, (Role::Fallback, fallback.settings));
            }
        }
        entries
    }

    /// The tables refused these changes: they are still to be made.
    pub fn refused(&mut self, changes: &[Change]) {
        for change in changes {
            match change.before {
                Some(before) => self.entries.insert(change.server, (change.role, before)),
                None => self.entries.remove(&change.server),
            };
        }
    }

    /// All that is wanted of the tables.
    pub fn whole(&self) -> Whole {
        let entry =
            |(id, (role, settings)): (&ServerId, &(Role, ServerSettings))| (*id, *role, *settings);
        Whole {
            settings: self.configured.settings.clone(),
            entries: self.entries.iter().map(entry).collect(),
        }
    }

    /// The weight that the tables were asked to have.
    pub fn entry(&self, server: &ServerId) -> Option<u32> {
        self.entries
            .get(server)
            .map(|(_, settings)| settings.weight)
    }
}

impl Settled {
    fn tell(&mut self, before: Pool, after: Pool) {
        if before.fallback != after.fallback {
            self.happened.push(Happened::Fallback(after.fallback));
        }
        if after.empty && !before.empty {
            self.happened.push(Happened::Empty);
        }
        if let Some(quorum) = after.quorum.filter(|_| after.quorum != before.quorum) {
            self.happened.push(Happened::Quorum(quorum));
        }
    }
}

/// What is different, new entries first: at no moment is nobody there.
fn changes(
    before: &BTreeMap<ServerId, (Role, ServerSettings)>,
    after: &BTreeMap<ServerId, (Role, ServerSettings)>,
) -> Vec<Change> {
    let there = after.iter().filter_map(|(id, (role, settings))| {
        let earlier = before.get(id);
        let differs = earlier.is_none_or(|(was, earlier)| was != role || earlier != settings);
        differs.then(|| Change {
            server: *id,
            role: *role,
            before: earlier.map(|(_, settings)| *settings),
            after: Some(*settings),
        })
    });
    let gone = before.iter().filter(|(id, _)| !after.contains_key(id));
    let gone = gone.map(|(id, (role, settings))| Change {
        server: *id,
        role: *role,
        before: Some(*settings),
        after: None,
    });
    there.chain(gone).collect()
}

#[cfg(test)]
#[path = "service_tests.rs"]
pub(crate) mod tests;
