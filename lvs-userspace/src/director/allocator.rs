//! Where there is room in the maps, and what becomes room once no packet can refer to it any more.

use std::collections::BTreeMap;

use crate::kernel::{Maps, wait_for_readers};

/// Unpublished ranges that are kept before a grace period is waited for.
const PATIENCE: usize = 256;

/// Free numbers of one map, as ranges.
#[derive(Debug, Default)]
pub(super) struct FreeRanges(BTreeMap<u32, u32>);

impl FreeRanges {
    fn new(first: u32, end: u32) -> Self {
        let mut ranges = Self::default();
        ranges.free(first, end.saturating_sub(first));
        ranges
    }

    /// The first run that is long enough; for a length of 0 any place will do.
    fn allocate(&mut self, length: u32) -> Option<u32> {
        if length == 0 {
            return Some(0);
        }
        let (&start, &room) = self.0.iter().find(|&(_, &room)| room >= length)?;
        self.0.remove(&start);
        self.free(start + length, room - length);
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
        self.free(free, start - free);
        self.free(end, free + room - end);
        true
    }

    /// Makes a run free, and one with its neighbours.
    fn free(&mut self, mut start: u32, mut length: u32) {
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
pub(super) enum MapKind {
    Services,
    Servers,
    Plans,
    Members,
    Slots,
    Hops,
}

/// Free room in all maps.
pub(super) struct Allocator {
    free: [FreeRanges; 6],
    retired: Vec<(MapKind, u32, u32)>,
}

impl Allocator {
    /// Everything free.
    pub(super) fn new(maps: &Maps) -> Self {
        let free = [
            FreeRanges::new(0, maps.heads.len()),
            FreeRanges::new(0, maps.servers.len()),
            // Plan and hop 0 stand for none.
            FreeRanges::new(1, maps.plans.len()),
            FreeRanges::new(0, maps.members.len()),
            FreeRanges::new(0, maps.slots.len()),
            FreeRanges::new(1, maps.hops.len()),
        ];
        Self {
            free,
            retired: Vec::new(),
        }
    }

    /// Takes a run, if need be after waiting for what was retired.
    pub(super) fn allocate(&mut self, kind: MapKind, length: u32) -> Option<u32> {
        let taken = self.free[kind as usize].allocate(length);
        if taken.is_some() || !self.retired.iter().any(|&(retired, ..)| retired == kind) {
            return taken;
        }
        self.reclaim();
        self.free[kind as usize].allocate(length)
    }

    /// Whether not even one more can be had.
    pub(super) fn is_full(&mut self, kind: MapKind) -> bool {
        self.allocate(kind, 1).is_none_or(|taken| {
            self.free(kind, taken, 1);
            false
        })
    }

    /// Takes a run that is in use already; false if something else uses part of it.
    pub(super) fn reserve(&mut self, kind: MapKind, start: u32, length: u32) -> bool {
        self.free[kind as usize].reserve(start, length)
    }

    /// Gives back what no packet ever saw.
    pub(super) fn free(&mut self, kind: MapKind, start: u32, length: u32) {
        self.free[kind as usize].free(start, length);
    }

    /// Gives back what was unpublished: a packet may refer to it until a grace period has passed.
    pub(super) fn retire(&mut self, kind: MapKind, start: u32, length: u32) {
        if length > 0 {
            self.retired.push((kind, start, length));
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
        for (kind, start, length) in std::mem::take(&mut self.retired) {
            self.free(kind, start, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_taken_from_the_front_and_grow_together_again() {
        let mut ranges = FreeRanges::new(1, 11);
        let (a, b, c) = (
            ranges.allocate(3).unwrap(),
            ranges.allocate(3).unwrap(),
            ranges.allocate(4).unwrap(),
        );
        assert_eq!((a, b, c), (1, 4, 7));
        assert_eq!(ranges.allocate(1), None);
        ranges.free(a, 3);
        ranges.free(c, 4);
        assert_eq!(ranges.allocate(5), None);
        ranges.free(b, 3);
        assert_eq!(ranges.allocate(10), Some(1));
    }

    #[test]
    fn a_run_is_reserved_once() {
        let mut ranges = FreeRanges::new(0, 10);
        assert!(ranges.reserve(3, 4));
        assert!(!ranges.reserve(6, 2));
        assert!(!ranges.reserve(9, 2));
        assert_eq!(ranges.allocate(4), None);
        assert_eq!((ranges.allocate(3), ranges.allocate(3)), (Some(0), Some(7)));
        assert!(!ranges.reserve(u32::MAX, 2));
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_or_given_twice(actions in proptest::collection::vec((0u32..3, 1u32..9), 1..80)) {
            let mut ranges = FreeRanges::new(0, 64);
            let mut held: Vec<(u32, u32)> = Vec::new();
            for (action, length) in actions {
                if action == 0 && !held.is_empty() {
                    let (start, length) = held.swap_remove(length as usize % held.len());
                    ranges.free(start, length);
                } else if let Some(start) = ranges.allocate(length) {
                    for &(other, other_length) in &held {
                        proptest::prop_assert!(start + length <= other || other + other_length <= start);
                    }
                    held.push((start, length));
                }
            }
            for (start, length) in held {
                ranges.free(start, length);
            }
            proptest::prop_assert_eq!(ranges.allocate(64), Some(0));
        }
    }
}
