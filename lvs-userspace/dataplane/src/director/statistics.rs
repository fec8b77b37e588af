//! Counters and rates of services and servers.

use std::sync::Arc;

use lvs_api::protocol::Traffic;
use lvs_common::abi::Stats;

use crate::kernel::Maps;
use crate::rates::Rates;

/// Counters in the maps, and the rates that are estimated from them.
pub(super) struct Statistics {
    maps: Arc<Maps>,
    rates: Rates,
}

impl Statistics {
    pub(super) fn new(maps: Arc<Maps>) -> Self {
        Self {
            maps,
            rates: Rates::default(),
        }
    }

    /// Traffic of a service since the last zeroing, and per second.
    pub(super) fn service(&self, index: u32) -> (Traffic, Traffic) {
        (
            traffic(&self.maps.service_counters.read(index)),
            self.rates.service(index),
        )
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
        self.rates.forget_service(index);
    }

    /// Starts the counters and rates of a server at zero.
    pub(super) fn zero_server(&mut self, index: u32) {
        self.maps.server_counters.zero(index);
        self.rates.forget_server(index);
    }

    /// Drops the rates of a service that is gone.
    pub(super) fn forget_service(&mut self, index: u32) {
        self.rates.forget_service(index);
    }

    /// Drops the rates of a server that is gone.
    pub(super) fn forget_server(&mut self, index: u32) {
        self.rates.forget_server(index);
    }

    /// Takes the two-second sample that rates are made of.
    pub(super) fn sample(
        &mut self,
        services: impl Iterator<Item = u32>,
        servers: impl Iterator<Item = u32>,
    ) {
        for index in services {
            self.rates
                .sample_service(index, &self.maps.service_counters.total(index));
        }
        for index in servers {
            self.rates
                .sample_server(index, &self.maps.server_counters.total(index));
        }
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
