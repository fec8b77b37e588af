//! Services with their real servers and counters, as `ipvsadm -L` lists them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use lvs_api::model::{ServerId, ServerSettings, ServiceId};
use lvs_api::protocol::{Server, Service, Services, TotalTraffic, Traffic};
use lvs_api::sysctl::Name;
use lvs_common::abi::Load;
use zerocopy::FromZeros as _;

use super::parts::Director;
use super::services::Assigned;

impl Director {
    /// All configured services with their servers.
    pub fn list(&self) -> Services {
        let indexes = self.services.configured().map(|(index, _)| index);
        let of_services = self.statistics.services(indexes);
        let indexes = self.servers.configured().map(|(index, _)| index);
        let of_servers = self.statistics.servers(indexes);
        let services = self.services.configured().map(|(index, service)| {
            let servers = service.servers();
            let filter = service.wanted.settings.filter.as_ref();
            let filter = filter.filter(|filter| !filter.is_empty());
            let family = service.id.family();
            Service {
                filter: filter.map(|filter| self.filters.status(index, filter, family)),
                id: service.id,
                settings: service.wanted.settings.clone(),
                stats: of_services.at(index),
                rates: self.statistics.service_rates(index),
                servers: servers
                    .map(|(id, settings, member)| {
                        let stats = of_servers.at(member.server);
                        self.list_server(id, settings, member, stats)
                    })
                    .collect(),
            }
        });
        Services {
            table_size: u64::from(self.maps.connections4.len()),
            services: services.collect(),
        }
    }

    /// Number of changes of services and their servers so far: as long as it stays, they do.
    pub const fn generation(&self) -> u64 {
        self.services.generation()
    }

    /// Number of times that a service was added or removed so far: as long as it stays, so do their addresses.
    pub const fn identities(&self) -> u64 {
        self.services.identities()
    }

    /// The next hop of a real server's address, for people.
    pub fn next_hop(&self, address: IpAddr) -> String {
        self.hops.text(address)
    }

    /// All configured services.
    pub fn service_ids(&self) -> impl Iterator<Item = ServiceId> {
        self.services.configured().map(|(_, service)| service.id)
    }

    /// The addresses of all configured services.
    pub fn virtual_addresses(&self) -> Arc<BTreeSet<IpAddr>> {
        let services = self.services.configured();
        let addresses = services.filter_map(|(_, service)| match service.id {
            ServiceId::Address { address, .. } => Some(address.ip()),
            ServiceId::Mark { .. } => None,
        });
        Arc::new(addresses.collect())
    }

    fn list_server(
        &self,
        id: &ServerId,
        settings: &ServerSettings,
        member: Assigned,
        stats: Traffic,
    ) -> Server {
        let load = self
            .maps
            .loads
            .read(member.server)
            .unwrap_or_else(Load::new_zeroed);
        Server {
            id: *id,
            settings: *settings,
            active: load.active(),
            inactive: load.inactive(),
            persistent: load.templates,
            stats,
            rates: self.statistics.server_rates(member.server),
            next_hop: self.hops.text(id.address()),
        }
    }

    /// Traffic of all configured services together.
    pub fn total_traffic(&self) -> TotalTraffic {
        let services = self.services.configured().map(|(index, _)| index);
        let services: Vec<_> = services.collect();
        self.statistics.total(&services)
    }

    /// Takes the two-second sample that rates are made of.
    pub fn sample(&mut self) {
        let estimates = self.sysctls.on(Name::RunEstimation);
        self.statistics.estimate(estimates);
        let services = self.services.configured().map(|(index, _)| index);
        let servers = self.servers.configured().map(|(index, _)| index);
        self.statistics.sample(services, servers);
    }
}
