//! Counters and rates of services and servers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lvs_api::protocol::{TotalTraffic, Traffic};
use lvs_common::abi::Stats;

use super::lost_traffic::{Growth, Lost, LostTraffic};
use crate::kernel::Maps;
use crate::rates::Rates;

/// Counters in the maps, and the rates that are estimated from them.
pub(super) struct Statistics {
    maps: Arc<Maps>,
    rates: Rates,
    lost: LostTraffic,
    /// Totals at the last sample, by server index.
    sampled: HashMap<u32, Stats>,
    /// Traffic that was subtracted since the start, by service and by server index: totals do not know of it.
    off_services: HashMap<u32, Stats>,
    off_servers: HashMap<u32, Stats>,
}

impl Statistics {
    pub(super) fn new(maps: Arc<Maps>) -> Self {
        let lost = LostTraffic::since(lost(&maps));
        Self {
            maps,
            rates: Rates::default(),
            lost,
            sampled: HashMap::new(),
            off_services: HashMap::new(),
            off_servers: HashMap::new(),
        }
    }

    /// Traffic of a service since the last zeroing, and per second.
    pub(super) fn service(&self, index: u32) -> (Traffic, Traffic) {
        (
            traffic(&self.maps.service_counters.read(index)),
            self.rates.service(index),
        )
    }

    /// Traffic of these services together.
    pub(super) fn total(&self, services: impl Iterator<Item = u32>) -> TotalTraffic {
        let mut total = TotalTraffic::default();
        for index in services {
            let (stats, rates) = self.service(index);
            total.stats = sum(total.stats, stats);
            total.rates = sum(total.rates, rates);
            let cpus = self.maps.service_counters.by_cpu(index);
            total.cpus.resize(cpus.len(), Traffic::default());
            for (to, more) in total.cpus.iter_mut().zip(&cpus) {
                *to = sum(*to, traffic(more));
            }
        }
        total
    }

    /// Traffic of a server since the last zeroing, and per second.
    pub(super) fn server(&self, index: u32) -> (Traffic, Traffic) {
        (
            traffic(&self.maps.server_counters.read(index)),
            self.rates.server(index),
        )
    }

    /// Starts the counters and rates of a service at zero.
    pub(super) fn zero_service(&mut self, index: u32) {
        self.maps.service_counters.zero(index);
        self.maps.filter_counters.zero(index);
        self.forget_service(index);
    }

    /// Starts the counters and rates of a server at zero.
    pub(super) fn zero_server(&mut self, index: u32) {
        self.maps.server_counters.zero(index);
        self.forget_server(index);
    }

    /// Drops the rates of a service that is gone.
    pub(super) fn forget_service(&mut self, index: u32) {
        self.off_services.remove(&index);
        self.rates.forget_service(index);
    }

    /// Drops the rates of a server that is gone.
    pub(super) fn forget_server(&mut self, index: u32) {
        self.off_servers.remove(&index);
        self.sampled.remove(&index);
        self.rates.forget_server(index);
    }

    /// Has samples make rates, or leave them as they are.
    pub(super) const fn estimate(&mut self, estimates: bool) {
        self.rates.stop(!estimates);
    }

    /// Takes the two-second sample that rates are made of, and takes off what the kernel did not send since the last
    /// one.
    pub(super) fn sample(
        &mut self,
        services: impl Iterator<Item = u32>,
        servers: impl Iterator<Item = u32>,
    ) {
        let services: Vec<_> = services
            .map(|index| (index, self.maps.service_counters.total(index)))
            .collect();
        let servers: Vec<_> = servers
            .map(|index| (index, self.maps.server_counters.total(index)))
            .collect();
        self.subtract_lost(&servers);
        for (index, total) in services {
            let off = self.off_services.get(&index).copied().unwrap_or_default();
            self.rates.sample_service(index, &total.since(&off));
        }
        for (index, total) in &servers {
            let off = self.off_servers.get(index).copied().unwrap_or_default();
            self.rates.sample_server(*index, &total.since(&off));
        }
        self.sampled = servers.into_iter().collect();
    }

    /// Takes the frames that were lost since the last sample off the counters.
    fn subtract_lost(&mut self, servers: &[(u32, Stats)]) {
        let growth: Vec<_> = servers
            .iter()
            .map(|(index, total)| {
                let before = self.sampled.get(index).unwrap_or(total);
                Growth {
                    interface: self.way_out(*index),
                    counted: total.since(before),
                }
            })
            .collect();
        let Some(off) = self.lost.attribute(lost(&self.maps), &growth) else {
            return;
        };
        for (&(index, _), off) in servers.iter().zip(&off) {
            if *off == Stats::default() {
                continue;
            }
            self.maps.server_counters.subtract(index, off);
            add(&mut self.off_servers, index, off);
            if let Some(server) = self.maps.servers.read(index) {
                self.maps.service_counters.subtract(server.service, off);
                add(&mut self.off_services, server.service, off);
            }
        }
    }

    /// Interface by which a server is reached; 0: unknown.
    fn way_out(&self, server: u32) -> u32 {
        let server = self.maps.servers.read(server);
        let hop = server.and_then(|server| self.maps.hops.read(server.hop));
        hop.map_or(0, |hop| hop.interface)
    }
}

/// Frames that were not sent, since the data path was made.
fn lost(maps: &Maps) -> Lost {
    let mut lost = BTreeMap::new();
    for ((interface, _), frames) in maps.lost_frames.read() {
        *lost.entry(interface).or_default() += frames;
    }
    lost
}

fn add(to: &mut HashMap<u32, Stats>, index: u32, more: &Stats) {
    let sum = to.entry(index).or_default();
    *sum = sum.with(more);
}

const fn sum(one: Traffic, other: Traffic) -> Traffic {
    Traffic {
        connections: one.connections.wrapping_add(other.connections),
        in_packets: one.in_packets.wrapping_add(other.in_packets),
        out_packets: one.out_packets.wrapping_add(other.out_packets),
        in_bytes: one.in_bytes.wrapping_add(other.in_bytes),
        out_bytes: one.out_bytes.wrapping_add(other.out_bytes),
    }
}

const fn traffic(counted: &Stats) -> Traffic {
    Traffic {
        connections: counted.connections,
        in_packets: counted.in_packets,
        out_packets: counted.out_packets,
        in_bytes: counted.in_bytes,
        out_bytes: counted.out_bytes,
    }
}
