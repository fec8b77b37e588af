//! Rates as IPVS estimates them: a moving average of two-second samples, each weighing a quarter.

use std::collections::HashMap;

use lvs_common::abi::Stats;

use lvs_api::protocol::Rates as Shown;

/// Rates of all services and servers, by index.
#[derive(Default)]
pub struct Rates {
    services: HashMap<u32, Estimator>,
    servers: HashMap<u32, Estimator>,
}

impl Rates {
    /// What is shown for a service.
    pub fn service(&self, index: u32) -> Shown {
        self.services
            .get(&index)
            .map(Estimator::shown)
            .unwrap_or_default()
    }

    /// What is shown for a server.
    pub fn server(&self, index: u32) -> Shown {
        self.servers
            .get(&index)
            .map(Estimator::shown)
            .unwrap_or_default()
    }

    /// Takes a sample, two seconds after the last one.
    pub fn sample_service(&mut self, index: u32, total: &Stats) {
        sample(&mut self.services, index, total);
    }

    /// Takes a sample, two seconds after the last one.
    pub fn sample_server(&mut self, index: u32, total: &Stats) {
        sample(&mut self.servers, index, total);
    }

    /// Starts over at zero.
    pub fn forget_service(&mut self, index: u32) {
        self.services.remove(&index);
    }

    /// Starts over at zero.
    pub fn forget_server(&mut self, index: u32) {
        self.servers.remove(&index);
    }
}

fn sample(estimators: &mut HashMap<u32, Estimator>, index: u32, total: &Stats) {
    estimators
        .entry(index)
        .or_insert_with(|| Estimator {
            last: *total,
            ..Estimator::default()
        })
        .sample(total);
}

#[derive(Default)]
struct Estimator {
    last: Stats,
    connections: Average<9, 10>,
    in_packets: Average<9, 10>,
    out_packets: Average<9, 10>,
    in_bytes: Average<4, 5>,
    out_bytes: Average<4, 5>,
}

impl Estimator {
    fn sample(&mut self, total: &Stats) {
        self.connections
            .add(total.connections.wrapping_sub(self.last.connections));
        self.in_packets
            .add(total.in_packets.wrapping_sub(self.last.in_packets));
        self.out_packets
            .add(total.out_packets.wrapping_sub(self.last.out_packets));
        self.in_bytes
            .add(total.in_bytes.wrapping_sub(self.last.in_bytes));
        self.out_bytes
            .add(total.out_bytes.wrapping_sub(self.last.out_bytes));
        self.last = *total;
    }

    fn shown(&self) -> Shown {
        Shown {
            connections: self.connections.shown(),
            in_packets: self.in_packets.shown(),
            out_packets: self.out_packets.shown(),
            in_bytes: self.in_bytes.shown(),
            out_bytes: self.out_bytes.shown(),
        }
    }
}

/// A fixed-point average: samples of two seconds enter shifted left by `IN`, which is one bit less
/// than what `OUT` takes away, so that the result is per second.
#[derive(Clone, Copy, Debug, Default)]
struct Average<const IN: u32, const OUT: u32>(i64);

impl<const IN: u32, const OUT: u32> Average<IN, OUT> {
    const fn add(&mut self, counted: u64) {
        let rate = (counted << IN).cast_signed();
        self.0 = self.0.wrapping_add(rate.wrapping_sub(self.0) >> 2);
    }

    const fn shown(self) -> u64 {
        let half = (1 << (OUT - 1)) - 1;
        (self.0.wrapping_add(half) >> OUT).cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_shown_as_it_is_after_a_while() {
        let mut rates = Rates::default();
        let mut total = Stats::default();
        for _ in 0..60 {
            rates.sample_server(7, &total);
            total.connections += 200;
            total.in_bytes += 3_000_000;
        }
        assert_eq!(rates.server(7).connections, 100);
        assert_eq!(rates.server(7).in_bytes, 1_500_000);
        assert_eq!(rates.service(7), Shown::default());
    }

    #[test]
    fn one_sample_weighs_a_quarter() {
        let mut rates = Rates::default();
        rates.sample_service(1, &Stats::default());
        rates.sample_service(
            1,
            &Stats {
                in_packets: 800,
                ..Stats::default()
            },
        );
        assert_eq!(rates.service(1).in_packets, 100);
    }

    #[test]
    fn what_was_counted_before_the_first_sample_is_no_rate() {
        let mut rates = Rates::default();
        rates.sample_service(
            1,
            &Stats {
                connections: 1 << 40,
                ..Stats::default()
            },
        );
        assert_eq!(rates.service(1), Shown::default());
    }

    #[test]
    fn rates_fall_to_zero() {
        let mut rates = Rates::default();
        let total = Stats {
            connections: 1000,
            ..Stats::default()
        };
        rates.sample_service(1, &Stats::default());
        for _ in 0..60 {
            rates.sample_service(1, &total);
        }
        assert_eq!(rates.service(1).connections, 0);
    }
}
