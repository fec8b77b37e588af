//! Numbers of health checks that were made, and their durations.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lvs_api::health::CheckDurations;
use parking_lot::Mutex;

/// Health checks of one watch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// Counts a health check.
    pub(crate) fn count(&self, passed: bool) {
        let number = if passed { &self.passed } else { &self.failed };
        number.fetch_add(1, Ordering::Relaxed);
    }

    /// Those that passed, and those that failed.
    pub(crate) fn read(&self) -> (u64, u64) {
        (
            self.passed.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }
}

/// Buckets of a histogram: one for each bound, and one above them.
const BUCKETS: usize = CheckDurations::BOUNDS_MS.len() + 1;

/// Durations of all health checks, by kind and result.
#[derive(Debug, Default)]
pub(crate) struct Durations(Mutex<BTreeMap<(&'static str, bool), Histogram>>);

/// Numbers of durations by bucket, and their sum in microseconds.
type Histogram = ([u64; BUCKETS], u64);

impl Durations {
    /// Counts a health check.
    pub(crate) fn count(&self, kind: &'static str, passed: bool, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bounds = CheckDurations::BOUNDS_MS;
        let bucket = bounds.partition_point(|bound| bound * 1000 < micros);
        let mut all = self.0.lock();
        let (buckets, sum) = all.entry((kind, passed)).or_default();
        buckets[bucket] += 1;
        *sum = sum.saturating_add(micros);
    }

    /// All of them.
    pub(crate) fn read(&self) -> Vec<CheckDurations> {
        let all = self.0.lock();
        let read = all
            .iter()
            .map(|((kind, passed), (buckets, sum))| CheckDurations {
                kind: (*kind).to_owned(),
                passed: *passed,
                buckets: buckets.to_vec(),
                sum_us: *sum,
            });
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_up_to_their_bound() {
        let durations = Durations::default();
        for millis in [0, 1, 2, 3, 10_000, 10_001] {
            durations.count("http", true, Duration::from_millis(millis));
        }
        durations.count("http", false, Duration::from_micros(1001));
        let [failed, passed] = &durations.read()[..] else {
            panic!("two results");
        };
        assert_eq!(passed.buckets, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((passed.passed, passed.sum_us), (true, 20_007_000));
        assert_eq!(failed.buckets.iter().position(|count| *count == 1), Some(1));
    }
}
