//! Where there is room in the maps, and what becomes room once no packet can refer to it any more.

use std::collections::BTreeMap;

use crate::kernel::{Maps, wait_for_readers};

/// Unpublished runs that are kept before a grace period is waited for.
const PATIENCE: usize = 256;

/// Free numbers of one map, as runs.
#[derive(Debug, Default)]
pub(super) struct Runs(BTreeMap<u32, u32>);

impl Runs {
    fn new(first: u32, end: u32) -> Self {
        let mut runs = Self::default();
        runs.give(first, end.saturating_sub(first));
        runs
    }

    /// The first run that is long enough; for a length of 0 any place will do.
    fn take(&mut self, length: u32) -> Option<u32> {
        if length == 0 {
            return Some(0);
        }
        let (&start, &room) = self.0.iter().find(|&(_, &room)| room >= length)?;
        self.0.remove(&start);
        self.give(start + length, room - length);
        Some(start)
    }

    /// Takes a certain run; false if part of it is taken already.
    fn reserve(&mut self, start: u32, length: u32) -> bool {
        if length == 0 {
            return true;
        }
        let Some(end) = start.checked_add(length) else {
            return false;
        };
        let Some((&free, &room)) = self.0.range(..=start).next_back() else {
            return false;
        };
        if free + room < end {
            return false;
        }
        self.0.remove(&free);
        self.give(free, start - free);
        self.give(end, free + room - end);
        true
    }

    /// Makes a run free, and one with its neighbours.
    fn give(&mut self, mut start: u32, mut length: u32) {
        if length == 0 {
            return;
        }
        if let Some((&before, &room)) = self.0.range(..start).next_back()
            && before + room == start
        {
            self.0.remove(&before);
            start = before;
            length += room;
        }
        if let Some(room) = self.0.remove(&(start + length)) {
            length += room;
        }
        self.0.insert(start, length);
    }
}

/// The maps that room is managed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Services,
    Servers,
    Plans,
    Members,
    Slots,
    Hops,
}

/// Free room in all maps.
pub(super) struct Room {
    free: [Runs; 6],
    retired: Vec<(Of, u32, u32)>,
}

impl Room {
    /// Everything free.
    pub(super) fn new(maps: &Maps) -> Self {
        let free = [
            Runs::new(0, maps.heads.len()),
            Runs::new(0, maps.servers.len()),
            // Plan and hop 0 stand for none.
            Runs::new(1, maps.plans.len()),
            Runs::new(0, maps.members.len()),
            Runs::new(0, maps.slots.len()),
            Runs::new(1, maps.hops.len()),
        ];
        Self {
            free,
            retired: Vec::new(),
        }
    }

    /// Takes a run, if need be after waiting for what was retired.
    pub(super) fn take(&mut self, of: Of, length: u32) -> Option<u32> {
        let taken = self.free[of as usize].take(length);
        if taken.is_some() || !self.retired.iter().any(|&(retired, ..)| retired == of) {
            return taken;
        }
        self.reclaim();
        self.free[of as usize].take(length)
    }

    /// Whether not even one more can be had.
    pub(super) fn take_would_fail(&mut self, of: Of) -> bool {
        self.take(of, 1).is_none_or(|taken| {
            self.give(of, taken, 1);
            false
        })
    }

    /// Takes a run that is in use already; false if something else uses part of it.
    pub(super) fn reserve(&mut self, of: Of, start: u32, length: u32) -> bool {
        self.free[of as usize].reserve(start, length)
    }

    /// Gives back what no packet ever saw.
    pub(super) fn give(&mut self, of: Of, start: u32, length: u32) {
        self.free[of as usize].give(start, length);
    }

    /// Gives back what was unpublished: a packet may refer to it until a grace period has passed.
    pub(super) fn retire(&mut self, of: Of, start: u32, length: u32) {
        if length > 0 {
            self.retired.push((of, start, length));
        }
        if self.retired.len() >= PATIENCE {
            self.reclaim();
        }
    }

    /// Waits for the packets under way and makes room of what was retired.
    pub(super) fn reclaim(&mut self) {
        if self.retired.is_empty() {
            return;
        }
        wait_for_readers();
        for (of, start, length) in std::mem::take(&mut self.retired) {
            self.give(of, start, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_taken_from_the_front_and_grow_together_again() {
        let mut runs = Runs::new(1, 11);
        let (a, b, c) = (
            runs.take(3).unwrap(),
            runs.take(3).unwrap(),
            runs.take(4).unwrap(),
        );
        assert_eq!((a, b, c), (1, 4, 7));
        assert_eq!(runs.take(1), None);
        runs.give(a, 3);
        runs.give(c, 4);
        assert_eq!(runs.take(5), None);
        runs.give(b, 3);
        assert_eq!(runs.take(10), Some(1));
    }

    #[test]
    fn a_run_is_reserved_once() {
        let mut runs = Runs::new(0, 10);
        assert!(runs.reserve(3, 4));
        assert!(!runs.reserve(6, 2));
        assert!(!runs.reserve(9, 2));
        assert_eq!(runs.take(4), None);
        assert_eq!((runs.take(3), runs.take(3)), (Some(0), Some(7)));
        assert!(!runs.reserve(u32::MAX, 2));
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_or_given_twice(actions in proptest::collection::vec((0u32..3, 1u32..9), 1..80)) {
            let mut runs = Runs::new(0, 64);
            let mut held: Vec<(u32, u32)> = Vec::new();
            for (action, length) in actions {
                if action == 0 && !held.is_empty() {
                    let (start, length) = held.swap_remove(length as usize % held.len());
                    runs.give(start, length);
                } else if let Some(start) = runs.take(length) {
                    for &(other, other_length) in &held {
                        proptest::prop_assert!(start + length <= other || other + other_length <= start);
                    }
                    held.push((start, length));
                }
            }
            for (start, length) in held {
                runs.give(start, length);
            }
            proptest::prop_assert_eq!(runs.take(64), Some(0));
        }
    }
}
