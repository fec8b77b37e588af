//! Allocates ranges of numbers in the maps, and frees them once no packet can refer to them any more.

use std::collections::BTreeMap;

use lvs_api::protocol::Refusal;

use crate::kernel::{Maps, wait_for_readers};

/// Retired ranges that are kept before a grace period is waited for: those of 20,000 services that are deleted at once.
/// They are freed before, once a second or where room is needed.
const MAX_RETIRED: usize = 65_536;

/// Free numbers of one map, as ranges: first number and length.
#[derive(Debug, Default)]
struct FreeRanges(BTreeMap<u32, u32>);

impl FreeRanges {
    fn new(first: u32, end: u32) -> Self {
        let mut ranges = Self::default();
        ranges.free(first, end.saturating_sub(first));
        ranges
    }

    /// The first range that is long enough; for a length of 0 any number will do.
    fn allocate(&mut self, length: u32) -> Option<u32> {
        if length == 0 {
            return Some(0);
        }
        let (&start, &room) = self.0.iter().find(|&(_, &room)| room >= length)?;
        self.0.remove(&start);
        self.free(start + length, room - length);
        Some(start)
    }

    /// Allocates a certain range; false if part of it is allocated already.
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

    /// Frees a range and unites it with its neighbours.
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

/// Maps whose numbers are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapKind {
    Services,
    Servers,
    Plans,
    Members,
    Slots,
    Hops,
    SourcePools,
    Filters,
    FilterNodes,
    TreeNodes,
}

impl MapKind {
    /// Contents of the map, in the words of a refusal.
    const fn contents(self) -> &'static str {
        match self {
            Self::Services => "virtual services (see --services)",
            Self::Servers | Self::Members => "real servers (see --servers)",
            Self::Plans => "services (see --services)",
            Self::Slots => "scheduling tables (see --slots)",
            Self::Hops => "next hops (see --servers)",
            Self::SourcePools => "source addresses",
            Self::Filters => "filters",
            Self::FilterNodes => "lists of filters (see --filter-nodes)",
            Self::TreeNodes => "services with many real servers (see --servers)",
        }
    }
}

/// Free and retired numbers of all maps.
pub(super) struct Allocator {
    free: [FreeRanges; 10],
    retired: Vec<(MapKind, u32, u32)>,
}

impl Allocator {
    /// Everything free.
    pub(super) fn new(maps: &Maps) -> Self {
        let free = [
            FreeRanges::new(0, maps.active_plans.len()),
            FreeRanges::new(0, maps.servers.len()),
            // Plan, hop, source pool, filter and node 0 stand for none.
            FreeRanges::new(1, maps.plans.len()),
            FreeRanges::new(0, maps.members.len()),
            FreeRanges::new(0, maps.slots.len()),
            FreeRanges::new(1, maps.hops.len()),
            FreeRanges::new(1, maps.source_pools.len()),
            FreeRanges::new(1, maps.filters.len()),
            FreeRanges::new(0, maps.filter_nodes.len()),
            FreeRanges::new(1, maps.loads.nodes()),
        ];
        Self {
            free,
            retired: Vec::new(),
        }
    }

    /// Allocates a range, if need be after a grace period for those that were retired.
    pub(super) fn allocate(&mut self, kind: MapKind, length: u32) -> Result<u32, Refusal> {
        let mut start = self.free[kind as usize].allocate(length);
        if start.is_none() && self.retired.iter().any(|&(retired, ..)| retired == kind) {
            self.reclaim();
            start = self.free[kind as usize].allocate(length);
        }
        start.ok_or_else(|| {
            Refusal::no_room(format!("there is no room for more {}", kind.contents()))
        })
    }

    /// Allocates a range of each, or of none.
    pub(super) fn allocate_all<const N: usize>(
        &mut self,
        wanted: [(MapKind, u32); N],
    ) -> Result<[u32; N], Refusal> {
        let mut starts = [0; N];
        for (place, &(kind, length)) in wanted.iter().enumerate() {
            match self.allocate(kind, length) {
                Ok(start) => starts[place] = start,
                Err(refusal) => {
                    for (&(kind, length), start) in wanted.iter().zip(starts).take(place) {
                        self.free(kind, start, length);
                    }
                    return Err(refusal);
                }
            }
        }
        Ok(starts)
    }

    /// True if not even one more number can be allocated.
    pub(super) fn is_full(&mut self, kind: MapKind) -> bool {
        match self.allocate(kind, 1) {
            Ok(start) => self.free(kind, start, 1),
            Err(_) => return true,
        }
        false
    }

    /// Allocates a range that is in use already; false if part of it is allocated.
    pub(super) fn reserve(&mut self, kind: MapKind, start: u32, length: u32) -> bool {
        self.free[kind as usize].reserve(start, length)
    }

    /// Frees a range that was never published.
    pub(super) fn free(&mut self, kind: MapKind, start: u32, length: u32) {
        self.free[kind as usize].free(start, length);
    }

    /// Frees a range that was unpublished, after a grace period: a packet under way may refer to it.
    pub(super) fn retire(&mut self, kind: MapKind, start: u32, length: u32) {
        if length > 0 {
            self.retired.push((kind, start, length));
        }
        if self.retired.len() >= MAX_RETIRED {
            self.reclaim();
        }
    }

    /// Waits for the packets under way and frees the retired ranges.
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
    fn ranges_are_allocated_from_the_front_and_united_again() {
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
    fn a_range_is_reserved_once() {
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
        fn no_number_is_lost_or_allocated_twice(actions in proptest::collection::vec((0u32..3, 1u32..9), 1..80)) {
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
