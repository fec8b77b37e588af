//! Counters and rates of services and servers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lvs_api::protocol::{TotalTraffic, Traffic};
use lvs_common::abi::Stats;

use super::lost_traffic::{Growth, Lost, LostTraffic};
use crate::kernel::{Counters, Maps};
use crate::rates::Rates;

/// Counters in the maps, and the rates that are estimated from them.
pub(super) struct Statistics {
    maps: Arc<Maps>,
    rates: Rates,
    lost: LostTraffic,
}

/// Traffic since the last zeroing, by index.
pub(super) struct Counted(Vec<Stats>);

impl Counted {
    /// Traffic at an index; zero where none was read.
    pub(super) fn at(&self, index: u32) -> Traffic {
        self.0.get(index as usize).map(traffic).unwrap_or_default()
    }
}

impl Statistics {
    pub(super) fn new(maps: Arc<Maps>) -> Self {
        let lost = LostTraffic::since(lost(&maps));
        Self {
            maps,
            rates: Rates::default(),
            lost,
        }
    }

    /// Traffic of services since the last zeroing; fastest in the order of their indexes.
    pub(super) fn services(&self, indexes: impl Iterator<Item = u32>) -> Counted {
        counted(&self.maps.service_counters, indexes)
    }

    /// Traffic of servers since the last zeroing; fastest in the order of their indexes.
    pub(super) fn servers(&self, indexes: impl Iterator<Item = u32>) -> Counted {
        counted(&self.maps.server_counters, indexes)
    }

    /// Traffic of a service per second.
    pub(super) fn service_rates(&self, index: u32) -> Traffic {
        self.rates.service(index)
    }

    /// Traffic of a server per second.
    pub(super) fn server_rates(&self, index: u32) -> Traffic {
        self.rates.server(index)
    }

    /// Traffic of these services together.
    pub(super) fn total(&self, services: &[u32]) -> TotalTraffic {
        let mut total = TotalTraffic::default();
        for &index in services {
            total.rates = sum(total.rates, self.rates.service(index));
        }
        let services = services.iter().copied();
        let counters = &self.maps.service_counters;
        counters.read_many(services.clone(), |_, stats| {
            total.stats = sum(total.stats, traffic(&stats));
        });
        counters.by_cpu(services, |cpus| {
            total.cpus.resize(cpus.len(), Traffic::default());
            for (to, more) in total.cpus.iter_mut().zip(cpus) {
                *to = sum(*to, traffic(more));
            }
        });
        total
    }

    /// Traffic of a server since the last zeroing.
    pub(super) fn server(&self, index: u32) -> Traffic {
        traffic(&self.maps.server_counters.read(index))
    }

    /// Starts the counters and rates of a service at zero.
    pub(super) fn zero_service(&mut self, index: u32) {
        self.maps.service_counters.zero([index]);
        self.maps.filter_counters.zero(index);
        self.forget_service(index);
    }

    /// Starts the counters and rates of servers at zero.
    pub(super) fn zero_servers(&mut self, indexes: impl Iterator<Item = u32>) {
        let rates = &mut self.rates;
        let indexes = indexes.inspect(|&index| rates.forget_server(index));
        self.maps.server_counters.zero(indexes);
    }

    /// Drops the rates of a service that is gone.
    pub(super) fn forget_service(&mut self, index: u32) {
        self.rates.forget_service(index);
    }

    /// Drops the rates of a server that is gone.
    pub(super) fn forget_server(&mut self, index: u32) {
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
        let mut service_totals = Vec::new();
        let mut server_totals = Vec::new();
        let Maps {
            service_counters,
            server_counters,
            ..
        } = &*self.maps;
        service_counters.totals(services, |index, total| service_totals.push((index, total)));
        server_counters.totals(servers, |index, total| server_totals.push((index, total)));
        let (off_services, off_servers) = self.subtract_lost(&server_totals).unwrap_or_default();
        let none = Stats::default();
        for (index, total) in &service_totals {
            let off = off_services.get(index).unwrap_or(&none);
            self.rates.sample_service(*index, total, off);
        }
        for ((index, total), off) in server_totals
            .iter()
            .zip(off_servers.iter().chain(std::iter::repeat(&none)))
        {
            self.rates.sample_server(*index, total, off);
        }
    }

    /// Takes the frames that were lost since the last sample off the counters. Returns what it took off each service,
    /// and each of these servers; none, if no frame was lost.
    fn subtract_lost(
        &mut self,
        servers: &[(u32, Stats)],
    ) -> Option<(HashMap<u32, Stats>, Vec<Stats>)> {
        let mut lost_traffic = std::mem::take(&mut self.lost);
        let growth = || {
            let growth = servers.iter().map(|(index, total)| {
                let before = self.rates.sampled_server(*index).unwrap_or(total);
                Growth {
                    interface: self.way_out(*index),
                    counted: total.since(before),
                }
            });
            growth.collect()
        };
        let off = lost_traffic.attribute(lost(&self.maps), growth);
        self.lost = lost_traffic;
        let off_servers = off?;
        let mut off_services: HashMap<u32, Stats> = HashMap::new();
        for (&(index, _), off) in servers.iter().zip(&off_servers) {
            if *off == Stats::default() {
                continue;
            }
            self.maps.server_counters.subtract(index, off);
            if let Some(server) = self.maps.servers.read(index) {
                self.maps.service_counters.subtract(server.service, off);
                let sum = off_services.entry(server.service).or_default();
                *sum = sum.with(off);
            }
        }
        Some((off_services, off_servers))
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

fn counted(counters: &Counters, indexes: impl Iterator<Item = u32>) -> Counted {
    let mut counted = Vec::new();
    counters.read_many(indexes, |index, stats| {
        let place = index as usize;
        if counted.len() <= place {
            counted.resize(place + 1, Stats::default());
        }
        counted[place] = stats;
    });
    Counted(counted)
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
