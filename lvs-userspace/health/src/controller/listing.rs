//! The answer to `GET /v1/health`.

use lvs_api::health::{Health, NameTrouble, ServerHealth, ServiceHealth};

use super::events::{self, whole_seconds_since_1970};
use super::state::Controller;
use crate::clock::now;
use crate::configured::ConfiguredService;
use crate::server::Server;
use crate::service::Service;

impl Controller {
    /// All services in the order of the file, without the numbers of connections: only the tables know them.
    pub(super) fn listing(&self) -> Health {
        let services = self.order.iter().filter_map(|id| self.services.get(id));
        Health {
            services: services.map(|service| self.of_service(service)).collect(),
            durations: self.watches.durations(),
        }
    }

    /// All services as they are configured, for the comparison with peers.
    pub(super) fn configured(&self) -> Vec<ConfiguredService> {
        let services = self.order.iter().filter_map(|id| self.services.get(id));
        services.map(ConfiguredService::of).collect()
    }

    fn of_service(&self, service: &Service) -> ServiceHealth {
        let id = service.configured.id;
        let towards = self.watches.towards(&id, service.servers.len());
        let tallies = self.watches.tallies(&id, service.servers.len());
        let servers = service.servers.iter().zip(towards).zip(tallies);
        let names = service.configured.names.iter().map(String::as_str);
        ServiceHealth {
            id,
            name: service.configured.service_name.clone(),
            quorum: service.pool.quorum,
            fallback: service.pool.fallback,
            servers: servers
                .map(|((server, towards), tally)| of_server(service, server, towards, tally))
                .collect(),
            unchecked: Vec::new(),
            silent: Vec::new(),
            fallbacks: service
                .configured
                .fallbacks
                .iter()
                .map(|it| it.id.0)
                .collect(),
            names: names.map(unanswered).collect(),
        }
    }
}

/// A name about which only the daemon knows more.
fn unanswered(name: &str) -> NameTrouble {
    NameTrouble {
        name: name.to_owned(),
        reason: String::new(),
    }
}

fn of_server(
    service: &Service,
    server: &Server,
    (towards, needed): (u32, u32),
    (checks_passed, checks_failed): (u64, u64),
) -> ServerHealth {
    let last = server.last();
    let text = if server.is_mirrored() {
        events::MIRRORED.to_owned()
    } else {
        last.map_or_else(String::new, |outcome| outcome.text.clone())
    };
    let age = server
        .since
        .map_or(0, |since| now().saturating_duration_since(since).as_secs());
    let took = last.map_or(0, |outcome| outcome.took.as_micros());
    ServerHealth {
        address: server.configured.id.0,
        name: server.configured.name.clone(),
        state: server.state(),
        admin: server.admin,
        maintenance: server.maintenance,
        backup: server.configured.backup,
        since: whole_seconds_since_1970().saturating_sub(age),
        age,
        last: text,
        took_us: u64::try_from(took).unwrap_or(u64::MAX),
        checks_passed,
        checks_failed,
        times_down: server.downs.times,
        seconds_down: server.downs.total(now()).as_secs(),
        towards,
        needed,
        configured: server.configured.settings.weight,
        effective: service.desired_weight(&server.configured.id),
        active: 0,
        inactive: 0,
    }
}
