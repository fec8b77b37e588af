//! What `ipvsadm -L` shows.

use std::net::IpAddr;

use lvs_common::abi::{self, Load};

use super::Director;
use lvs_api::protocol::{Server, Service, Services, Stats};

impl Director {
    /// All configured services with their servers.
    pub fn list(&self) -> Services {
        let services = self.live().map(|(index, service)| Service {
            id: service.id,
            settings: service.wanted.settings.clone(),
            stats: stats(&self.maps.service_counters.read(index)),
            rates: self.rates.service(index),
            servers: service
                .wanted
                .servers
                .iter()
                .zip(&service.members)
                .map(|((id, settings), member)| {
                    let none = Load {
                        counts: 0,
                        overloaded: 0,
                        templates: 0,
                    };
                    let load = self.maps.loads.read(member.server).unwrap_or(none);
                    Server {
                        id: *id,
                        settings: *settings,
                        active: load.active(),
                        inactive: load.inactive(),
                        persistent: load.templates,
                        stats: stats(&self.maps.server_counters.read(member.server)),
                        rates: self.rates.server(member.server),
                        next_hop: self.hops.text(&id.address()),
                    }
                })
                .collect(),
        });
        Services {
            table_size: u64::from(self.maps.connections4.len()),
            services: services.collect(),
        }
    }

    /// Addresses of real servers that packets cannot be sent to.
    pub fn unresolved(&self) -> Vec<IpAddr> {
        self.followed
            .borrow()
            .iter()
            .filter(|address| self.hops.number(address) == 0)
            .copied()
            .collect()
    }

    /// Takes the two-second sample that rates are made of.
    pub fn sample(&mut self) {
        for (index, _) in self.services.iter().filter(|(_, service)| !service.deleted) {
            self.rates
                .sample_service(*index, &self.maps.service_counters.total(*index));
        }
        for (index, _) in self
            .servers
            .iter()
            .filter(|(_, server)| server.deleted.is_none())
        {
            self.rates
                .sample_server(*index, &self.maps.server_counters.total(*index));
        }
    }
}

const fn stats(counted: &abi::Stats) -> Stats {
    Stats {
        connections: counted.connections,
        in_packets: counted.in_packets,
        out_packets: counted.out_packets,
        in_bytes: counted.in_bytes,
        out_bytes: counted.out_bytes,
    }
}
