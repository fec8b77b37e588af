//! Rates as IPVS estimates them: a moving average of two-second samples, each weighing a quarter.

use std::collections::HashMap;

use lvs_api::protocol::Traffic;
use lvs_common::abi::Stats;

/// Rates of all services and servers, by index.
#[derive(Default)]
pub(crate) struct Rates {
    services: HashMap<u32, Estimator>,
    servers: HashMap<u32, Estimator>,
    stopped: bool,
}

impl Rates {
    /// Rates of a service, per second.
    pub(crate) fn service(&self, index: u32) -> Traffic {
        self.services
            .get(&index)
            .map(Estimator::per_second)
            .unwrap_or_default()
    }

    /// Rates of a server, per second.
    pub(crate) fn server(&self, index: u32) -> Traffic {
        self.servers
            .get(&index)
            .map(Estimator::per_second)
            .unwrap_or_default()
    }

    /// Has rates stay as they are, or follow the samples again from the last one on.
    pub(crate) const fn stop(&mut self, stopped: bool) {
        self.stopped = stopped;
    }

    /// Takes a sample, two seconds after the last one.
    pub(crate) fn sample_service(&mut self, index: u32, total: &Stats) {
        sample(&mut self.services, index, total, self.stopped);
    }

    /// Takes a sample, two seconds after the last one.
    pub(crate) fn sample_server(&mut self, index: u32, total: &Stats) {
        sample(&mut self.servers, index, total, self.stopped);
    }

    /// Starts over at zero.
    pub(crate) fn forget_service(&mut self, index: u32) {
        self.services.remove(&index);
    }

    /// Starts over at zero.
    pub(crate) fn forget_server(&mut self, index: u32) {
        self.servers.remove(&index);
    }
}

fn sample(estimators: &mut HashMap<u32, Estimator>, index: u32, total: &Stats, stopped: bool) {
    let estimator = estimators.entry(index).or_insert_with(|| Estimator {
        last: *total,
        ..Estimator::default()
    });
    if stopped {
        estimator.last = *total;
    } else {
        estimator.sample(total);
    }
}

#[derive(Default)]
struct Estimator {
    last: Stats,
    packets: [Average<9, 10>; 3],
    bytes: [Average<4, 5>; 2],
}

impl Estimator {
    fn sample(&mut self, total: &Stats) {
        let counted = total.since(&self.last);
        let Stats {
            connections,
            in_packets,
            out_packets,
            in_bytes,
            out_bytes,
        } = counted;
        for (average, counted) in
            self.packets
                .iter_mut()
                .zip([connections, in_packets, out_packets])
        {
            average.add(counted);
        }
        for (average, counted) in self.bytes.iter_mut().zip([in_bytes, out_bytes]) {
            average.add(counted);
        }
        self.last = *total;
    }

    fn per_second(&self) -> Traffic {
        let [connections, in_packets, out_packets] = self.packets.map(Average::per_second);
        let [in_bytes, out_bytes] = self.bytes.map(Average::per_second);
        Traffic {
            connections,
            in_packets,
            out_packets,
            in_bytes,
            out_bytes,
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

    const fn per_second(self) -> u64 {
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
        assert_eq!(rates.service(7), Traffic::default());
    }

    #[test]
    fn what_was_counted_while_rates_were_stopped_is_in_none() {
        let mut rates = Rates::default();
        let mut total = Stats::default();
        let mut sample = |rates: &mut Rates, packets| {
            total.in_packets += packets;
            rates.sample_service(1, &total);
            rates.service(1).in_packets
        };
        sample(&mut rates, 0);
        assert_eq!(sample(&mut rates, 800), 100);
        rates.stop(true);
        assert_eq!(sample(&mut rates, 8_000), 100);
        assert_eq!(sample(&mut rates, 8_000), 100);
        rates.stop(false);
        assert_eq!(sample(&mut rates, 200), 100);
        assert_eq!(sample(&mut rates, 0), 75);
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
        assert_eq!(rates.service(1), Traffic::default());
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
