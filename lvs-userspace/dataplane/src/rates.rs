//! Rates as IPVS estimates them: a moving average of two-second samples, each weighing a quarter.

use lvs_api::protocol::Traffic;
use lvs_common::abi::Stats;

/// Rates of all services and servers, by index.
#[derive(Default)]
pub(crate) struct Rates {
    services: Estimators,
    servers: Estimators,
    stopped: bool,
}

impl Rates {
    /// Rates of a service, per second.
    pub(crate) fn service(&self, index: u32) -> Traffic {
        self.services.per_second(index)
    }

    /// Rates of a server, per second.
    pub(crate) fn server(&self, index: u32) -> Traffic {
        self.servers.per_second(index)
    }

    /// Total of a server at its last sample; none before the first one.
    pub(crate) fn sampled_server(&self, index: u32) -> Option<&Stats> {
        self.servers.get(index).map(|estimator| &estimator.last)
    }

    /// Has rates stay as they are, or follow the samples again from the last one on.
    pub(crate) const fn stop(&mut self, stopped: bool) {
        self.stopped = stopped;
    }

    /// Takes a sample, two seconds after the last one. `off` was counted since then, but is no traffic.
    pub(crate) fn sample_service(&mut self, index: u32, total: &Stats, off: &Stats) {
        self.services.sample(index, total, off, self.stopped);
    }

    /// Takes a sample, two seconds after the last one. `off` was counted since then, but is no traffic.
    pub(crate) fn sample_server(&mut self, index: u32, total: &Stats, off: &Stats) {
        self.servers.sample(index, total, off, self.stopped);
    }

    /// Starts over at zero.
    pub(crate) fn forget_service(&mut self, index: u32) {
        self.services.forget(index);
    }

    /// Starts over at zero.
    pub(crate) fn forget_server(&mut self, index: u32) {
        self.servers.forget(index);
    }
}

/// Estimators by index: the low ones are in use.
#[derive(Default)]
struct Estimators(Vec<Option<Estimator>>);

impl Estimators {
    fn get(&self, index: u32) -> Option<&Estimator> {
        self.0.get(index as usize)?.as_ref()
    }

    fn per_second(&self, index: u32) -> Traffic {
        self.get(index)
            .map(Estimator::per_second)
            .unwrap_or_default()
    }

    fn sample(&mut self, index: u32, total: &Stats, off: &Stats, stopped: bool) {
        let place = index as usize;
        if self.0.len() <= place {
            self.0.resize_with(place + 1, || None);
        }
        let Some(estimator) = self.0.get_mut(place) else {
            return;
        };
        match estimator {
            Some(estimator) if stopped => estimator.last = *total,
            Some(estimator) => estimator.sample(total, off),
            None => {
                *estimator = Some(Estimator {
                    last: *total,
                    ..Estimator::default()
                });
            }
        }
    }

    fn forget(&mut self, index: u32) {
        if let Some(estimator) = self.0.get_mut(index as usize) {
            *estimator = None;
        }
    }
}

#[derive(Default)]
struct Estimator {
    /// Total at the last sample.
    last: Stats,
    packets: [Average<9, 10>; 3],
    bytes: [Average<4, 5>; 2],
    /// All averages are zero.
    at_rest: bool,
}

impl Estimator {
    fn sample(&mut self, total: &Stats, off: &Stats) {
        let counted = total.since(&self.last).without(off);
        self.last = *total;
        let silent = counted == Stats::default();
        // Most of very many servers have no traffic.
        if silent && self.at_rest {
            return;
        }
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
        self.at_rest = silent
            && self.packets.iter().all(|average| average.0 == 0)
            && self.bytes.iter().all(|average| average.0 == 0);
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

    const NONE: Stats = Stats {
        connections: 0,
        in_packets: 0,
        out_packets: 0,
        in_bytes: 0,
        out_bytes: 0,
    };

    #[test]
    fn a_steady_rate_is_shown_as_it_is_after_a_while() {
        let mut rates = Rates::default();
        let mut total = Stats::default();
        for _ in 0..60 {
            rates.sample_server(7, &total, &NONE);
            total.connections += 200;
            total.in_bytes += 3_000_000;
        }
        assert_eq!(rates.server(7).connections, 100);
        assert_eq!(rates.server(7).in_bytes, 1_500_000);
        assert_eq!(rates.service(7), Traffic::default());
    }

    #[test]
    fn more_that_did_not_leave_than_was_counted_is_no_traffic() {
        let mut rates = Rates::default();
        let packets = |in_packets| Stats { in_packets, ..NONE };
        rates.sample_service(1, &packets(10), &NONE);
        rates.sample_service(1, &packets(11), &packets(100));
        assert_eq!(rates.service(1), Traffic::default());
    }

    #[test]
    fn what_was_counted_while_rates_were_stopped_is_in_none() {
        let mut rates = Rates::default();
        let mut total = Stats::default();
        let mut sample = |rates: &mut Rates, packets| {
            total.in_packets += packets;
            rates.sample_service(1, &total, &NONE);
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
        rates.sample_service(1, &NONE, &NONE);
        rates.sample_service(
            1,
            &Stats {
                in_packets: 800,
                ..Stats::default()
            },
            &NONE,
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
            &NONE,
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
        rates.sample_service(1, &NONE, &NONE);
        for _ in 0..60 {
            rates.sample_service(1, &total, &NONE);
        }
        assert_eq!(rates.service(1).connections, 0);
    }

    #[test]
    fn a_rate_at_rest_follows_new_traffic() {
        let mut rates = Rates::default();
        let packets = |in_packets| Stats { in_packets, ..NONE };
        let total = packets(1_000);
        for _ in 0..90 {
            rates.sample_server(3, &total, &NONE);
        }
        assert_eq!(rates.server(3), Traffic::default());
        rates.sample_server(3, &packets(1_800), &NONE);
        assert_eq!(rates.server(3).in_packets, 100);
        assert_eq!(rates.sampled_server(3), Some(&packets(1_800)));
        assert_eq!(rates.sampled_server(4), None);
    }

    #[test]
    fn what_is_taken_off_is_in_no_rate() {
        let mut rates = Rates::default();
        let packets = |in_packets| Stats { in_packets, ..NONE };
        rates.sample_service(1, &NONE, &NONE);
        rates.sample_service(1, &packets(1_000), &packets(200));
        assert_eq!(rates.service(1).in_packets, 100);
        // And only once.
        rates.sample_service(1, &packets(1_800), &NONE);
        assert_eq!(rates.service(1).in_packets, 175);
    }
}
