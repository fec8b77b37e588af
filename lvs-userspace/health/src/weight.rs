//! Weights that follow something beside the configuration: exit codes, slow start, response times. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// Steps of slow start.
const STEPS: u32 = 20;

/// So many percent of a weight; 0 only if either is.
pub(crate) fn part(weight: u32, percent: u32) -> u32 {
    if weight == 0 || percent == 0 {
        return 0;
    }
    let part = (u64::from(weight) * u64::from(percent) + 50) / 100;
    u32::try_from(part).unwrap_or(u32::MAX).max(1)
}

/// The weight an external check's exit code stands for, as keepalived's `misc_dynamic` has it; none:
/// the configured one.
pub(crate) fn of_exit_code(code: u8) -> Option<u32> {
    (code >= 2).then(|| u32::from(code) - 2)
}

/// The weight of a server that recovered `elapsed` ago, and the time after its recovery at which it grows.
pub(crate) fn ramp(full: u32, duration: Duration, elapsed: Duration) -> (u32, Option<Duration>) {
    let steps = full.min(STEPS);
    if steps == 0 || elapsed >= duration {
        return (full, None);
    }
    // In whole nanoseconds: a fraction may be rounded below the end of a step, which is then asked for at once again.
    let step = elapsed.as_nanos() * u128::from(steps) / duration.as_nanos() + 1;
    let end = (duration.as_nanos() * step).div_ceil(u128::from(steps));
    let weight = (u128::from(full) * step).div_ceil(u128::from(steps));
    (
        u32::try_from(weight).unwrap_or(full),
        Some(u64::try_from(end).map_or(duration, Duration::from_nanos)),
    )
}

/// Probes whose durations count.
const WINDOW: usize = 9;

/// Response times below this many seconds count as this: below it a busy host's scheduler makes the difference,
/// the director's or the server's, and clients do not notice it.
const SHORTEST: f64 = 0.005;

/// A server's response time, and the weight that follows from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseTime {
    /// Seconds that the last probes took, oldest first.
    latest: VecDeque<f64>,
    weight: Option<u32>,
}

impl ResponseTime {
    /// Adds the duration of a probe.
    pub(crate) fn add(&mut self, took: Duration) {
        if self.latest.len() == WINDOW {
            self.latest.pop_front();
        }
        self.latest.push_back(took.as_secs_f64());
    }

    /// Seconds that a quarter of the last probes took at most: a busy network or scheduler only adds to the time
    /// that the server itself needs, and a few slow answers change nothing, however slow. None before the first
    /// probe.
    pub(crate) fn seconds(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.latest.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let quartile = sorted.get(sorted.len().checked_sub(1)? / 4)?;
        Some(quartile.max(SHORTEST))
    }

    /// The configured weight, divided by how many times longer than the fastest server it takes. It is
    /// left as it is where it would change by less than a tenth: the tables are not written for noise. The
    /// fastest server always has its whole weight.
    pub(crate) fn weight(&mut self, configured: u32, best: Option<f64>) -> u32 {
        let (Some(own), Some(best)) = (self.seconds(), best) else {
            return configured;
        };
        if configured == 0 {
            return 0;
        }
        let weight = if own > best {
            self.divided(configured, best / own)
        } else {
            configured
        };
        self.weight = Some(weight);
        weight
    }

    /// A part of the configured weight, or the present one if that is nearly the same.
    fn divided(&self, configured: u32, share: f64) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the configured weight"
        )]
        let exact = ((f64::from(configured) * share).round() as u32).max(1);
        let near = |weight: &u32| {
            *weight <= configured && weight.abs_diff(exact) < (configured / 10).max(1)
        };
        self.weight.filter(near).unwrap_or(exact)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn half_of_one_is_one() {
        assert_eq!(part(1, 50), 1);
        assert_eq!(part(100, 33), 33);
        assert_eq!(part(100, 0), 0);
        assert_eq!(part(0, 100), 0);
        assert_eq!(part(u32::MAX, 200), u32::MAX);
    }

    #[test]
    fn exit_codes_stand_for_weights() {
        assert_eq!(of_exit_code(0), None);
        assert_eq!(of_exit_code(2), Some(0));
        assert_eq!(of_exit_code(255), Some(253));
    }

    #[test]
    fn the_slower_server_gets_the_smaller_weight() {
        let (mut fast, mut slow) = (ResponseTime::default(), ResponseTime::default());
        fast.add(Duration::from_millis(10));
        slow.add(Duration::from_millis(40));
        let best = fast.seconds();
        assert_eq!(fast.weight(100, best), 100);
        assert_eq!(slow.weight(100, best), 25);
        // A little faster does not count, much faster does.
        slow.add(Duration::from_millis(35));
        assert_eq!(slow.weight(100, best), 25);
        for _ in 0..50 {
            slow.add(Duration::from_millis(10));
        }
        assert!(slow.weight(100, best) > 90);
    }

    #[test]
    fn the_fastest_server_has_its_whole_weight_again() {
        let mut times = ResponseTime::default();
        times.add(Duration::from_millis(101));
        assert_eq!(times.weight(100, Some(0.1)), 99);
        // The other one has become slow.
        assert_eq!(times.weight(100, times.seconds()), 100);
    }

    #[test]
    fn rare_slow_answers_and_tiny_differences_change_no_weight() {
        let mut servers: [ResponseTime; 4] = Default::default();
        for turn in 0..200_u64 {
            for (number, server) in (0..).zip(&mut servers) {
                let slow = if (turn + 6 * number) % 25 == 0 {
                    12_000
                } else {
                    0
                };
                let usual = 200 + 31 * ((turn * 7 + number * 5) % 20);
                server.add(Duration::from_micros(usual + slow));
            }
            let best = servers.iter().filter_map(ResponseTime::seconds);
            let best = best.min_by(f64::total_cmp);
            for server in &mut servers {
                let weight = server.weight(100, best);
                assert!(turn < 4 || weight == 100, "{weight} at turn {turn}");
            }
        }
    }

    #[test]
    fn a_step_of_a_ramp_ends_when_the_next_one_begins() {
        let duration = Duration::from_millis(33_240);
        let first = duration / 20;
        assert_eq!(ramp(20, duration, Duration::ZERO), (1, Some(first)));
        assert_eq!(ramp(20, duration, first), (2, Some(duration / 10)));
    }

    proptest! {
        #[test]
        fn a_ramp_only_rises_and_ends_at_the_whole_weight(
            full in 0u32..1000,
            milliseconds in 1u64..100_000,
            mut moments in proptest::collection::vec(0u64..120_000, 2..20),
        ) {
            let duration = Duration::from_millis(milliseconds);
            moments.sort_unstable();
            let mut before = 0;
            for moment in moments {
                let elapsed = Duration::from_millis(moment);
                let (weight, next) = ramp(full, duration, elapsed);
                prop_assert!(weight >= before && weight <= full);
                prop_assert_eq!(weight == 0, full == 0);
                match next {
                    None => prop_assert_eq!(weight, full),
                    Some(next) => prop_assert!(next > elapsed && next <= duration),
                }
                before = weight;
            }
            prop_assert_eq!(ramp(full, duration, duration), (full, None));
        }
    }
}
