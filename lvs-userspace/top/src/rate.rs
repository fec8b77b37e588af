//! Packets a second by verdict: lvsd counts packets only.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lvs_api::protocol::VerdictCount;

/// The rates between the last two samples.
#[derive(Debug, Default)]
pub(crate) struct VerdictRates {
    last: Option<(Instant, HashMap<String, u64>)>,
    /// Tenths of a packet a second.
    tenths: HashMap<String, u64>,
}

impl VerdictRates {
    /// Adds a sample. An earlier one that is older than `limit` says nothing about now.
    pub(crate) fn sample(&mut self, counts: &[VerdictCount], now: Instant, limit: Duration) {
        self.tenths.clear();
        if let Some((then, before)) = &self.last {
            let elapsed = now.saturating_duration_since(*then);
            if elapsed <= limit {
                for count in counts {
                    // A counter that fell was zeroed.
                    let grown = before
                        .get(&count.name)
                        .and_then(|before| count.packets.checked_sub(*before));
                    let tenths = grown.and_then(|grown| {
                        let tenths = u128::from(grown) * 10_000;
                        let tenths = tenths.checked_div(elapsed.as_millis())?;
                        u64::try_from(tenths).ok()
                    });
                    if let Some(tenths) = tenths {
                        self.tenths.insert(count.name.clone(), tenths);
                    }
                }
            }
        }
        let counts = counts
            .iter()
            .map(|count| (count.name.clone(), count.packets));
        self.last = Some((now, counts.collect()));
    }

    /// Tenths of a packet a second; none: it takes another sample.
    pub(crate) fn of(&self, verdict: &str) -> Option<u64> {
        self.tenths.get(verdict).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn count(packets: u64) -> [VerdictCount; 1] {
        [VerdictCount {
            name: "drop-length".to_owned(),
            packets,
            explanation: String::new(),
        }]
    }

    #[test]
    fn a_rate_takes_two_samples_near_each_other() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rates = VerdictRates::default();
        rates.sample(&count(100), at(0), LIMIT);
        assert_eq!(rates.of("drop-length"), None);
        rates.sample(&count(105), at(2), LIMIT);
        assert_eq!(rates.of("drop-length"), Some(25));
        // Zeroed, or the tables are new.
        rates.sample(&count(3), at(3), LIMIT);
        assert_eq!(rates.of("drop-length"), None);
        rates.sample(&count(1_003), at(4), LIMIT);
        assert_eq!(rates.of("drop-length"), Some(10_000));
        rates.sample(&count(2_003), at(60), LIMIT);
        assert_eq!(rates.of("drop-length"), None);
        rates.sample(&count(2_004), at(60), LIMIT);
        assert_eq!(rates.of("drop-length"), None);
    }
}
