//! Interfaces that were counted for and are gone, until nobody asks for their counts any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Time in which everybody has read what was counted for an interface that is gone.
const KEPT: Duration = Duration::from_mins(1);

/// Indices of interfaces that are gone, and since when.
#[derive(Debug, Default)]
pub(super) struct GoneInterfaces(BTreeMap<u32, Instant>);

impl GoneInterfaces {
    /// Returns those of the `counted` ones whose counts can go: `is_there` denied them for a minute.
    pub(super) fn update(
        &mut self,
        counted: impl Iterator<Item = u32>,
        is_there: impl Fn(u32) -> bool,
        now: Instant,
    ) -> BTreeSet<u32> {
        let gone = counted.filter(|&index| !is_there(index));
        self.0 = gone
            .map(|index| (index, self.0.get(&index).copied().unwrap_or(now)))
            .collect();
        let due = self.0.iter().filter(|&(_, &since)| now >= since + KEPT);
        due.map(|(&index, _)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_a_minute_after_their_interface() {
        let start = Instant::now();
        let mut gone = GoneInterfaces::default();
        let mut update = |there: &[u32], seconds| {
            let now = start + Duration::from_secs(seconds);
            let due = gone.update([3, 4].into_iter(), |index| there.contains(&index), now);
            due.into_iter().collect::<Vec<_>>()
        };
        assert!(update(&[3, 4], 0).is_empty());
        assert!(update(&[4], 10).is_empty());
        assert!(update(&[4], 69).is_empty());
        assert_eq!(update(&[4], 70), [3]);
        assert!(update(&[3], 71).is_empty(), "it is back, the other goes");
        assert!(update(&[], 80).is_empty());
        assert_eq!(update(&[], 131), [4]);
    }
}
