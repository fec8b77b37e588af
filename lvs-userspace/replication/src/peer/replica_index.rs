//! Index from a peer's entries to the own entries that hold them.

use std::collections::HashSet;

use lvs_common::connection::{EntryId, Tag};
use lvs_common::family::PerFamily;

use super::refusal::Refusal;

/// The own entry that holds a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalEntry {
    pub(super) id: EntryId,
    /// Its tag when the replica was applied.
    pub(super) tag: Tag,
    /// The replica displaced this director's own connection.
    pub(super) displaced: bool,
}

/// Index of one peer's replicas. Grows with the peer's highest number, up to the size of its tables.
#[derive(Debug, Default)]
pub(super) struct ReplicaIndex {
    /// By the peer's numbers.
    entries: PerFamily<Vec<Option<LocalEntry>>>,
    count: u32,
}

impl ReplicaIndex {
    /// Replicas that are held, as far as is known: some may have expired here meanwhile.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// The own entry for one of the peer's.
    pub(super) fn get(&self, id: EntryId) -> Option<LocalEntry> {
        let entries = self.entries.of(id.family());
        entries.get(id.index() as usize).copied().flatten()
    }

    /// Sets the own entry for one of the peer's, whose tables have so many entries; returns the one before.
    pub(super) fn set(
        &mut self,
        id: EntryId,
        entry: Option<LocalEntry>,
        sizes: PerFamily<u32>,
    ) -> Result<Option<LocalEntry>, Refusal> {
        if !(1..=*sizes.of(id.family())).contains(&id.number()) {
            return Err(Refusal::Malformed);
        }
        let all = self.entries.of_mut(id.family());
        let index = id.index() as usize;
        if all.len() <= index {
            if entry.is_none() {
                return Ok(None);
            }
            all.resize(index + 1, None);
        }
        let slot = all.get_mut(index).ok_or(Refusal::Malformed)?;
        let before = std::mem::replace(slot, entry);
        self.count = self.count + u32::from(entry.is_some()) - u32::from(before.is_some());
        Ok(before)
    }

    /// All own entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = LocalEntry> {
        let all = self.entries.v4.iter().chain(&self.entries.v6);
        all.copied().flatten()
    }

    /// Own entries for `count` of the peer's from a place on, and the place to go on from: the first one after
    /// the last.
    pub(super) fn part(&self, place: u32, count: u32) -> (Vec<(EntryId, LocalEntry)>, u32) {
        let length = |entries: &Vec<_>| u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let sizes = PerFamily {
            v4: length(&self.entries.v4),
            v6: length(&self.entries.v6),
        };
        let next = place.saturating_add(count);
        let ids = (place..next).map_while(|place| EntryId::at(place, sizes));
        let part = ids.filter_map(|id| Some((id, self.get(id)?))).collect();
        let has_more = EntryId::at(next, sizes).is_some();
        (part, if has_more { next } else { 0 })
    }

    /// Keeps those that `keep` accepts.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(LocalEntry) -> bool) {
        for slot in self.entries.v4.iter_mut().chain(&mut self.entries.v6) {
            if slot.take_if(|entry| !keep(*entry)).is_some() {
                self.count -= 1;
            }
        }
    }

    /// Own entries of this index that `newer` lacks, under whatever number.
    pub(super) fn without(&self, newer: &Self) -> Vec<LocalEntry> {
        let pairs = [
            (&self.entries.v4, &newer.entries.v4),
            (&self.entries.v6, &newer.entries.v6),
        ];
        let mut gone = Vec::new();
        for (before, after) in pairs {
            let after = after.iter().chain(std::iter::repeat(&None));
            let pairs = before.iter().zip(after);
            gone.extend(pairs.filter_map(|(before, after)| {
                before.filter(|before| after.is_none_or(|after| after.id != before.id))
            }));
        }
        if !gone.is_empty() {
            let present: HashSet<_> = newer.iter().map(|entry| entry.id).collect();
            gone.retain(|entry| !present.contains(&entry.id));
        }
        gone
    }

    /// Adds what a later session held that was not complete.
    pub(super) fn overlay(&mut self, later: Self) {
        let pairs = [
            (&mut self.entries.v4, later.entries.v4),
            (&mut self.entries.v6, later.entries.v6),
        ];
        for (own, later) in pairs {
            if own.len() < later.len() {
                own.resize(later.len(), None);
            }
            for (slot, entry) in own.iter_mut().zip(later) {
                if entry.is_some() {
                    self.count += u32::from(slot.is_none());
                    *slot = entry;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lvs_common::family::{V4, V6};

    use super::*;

    const SIZES: PerFamily<u32> = PerFamily { v4: 16, v6: 8 };

    fn v4(number: u32) -> EntryId {
        EntryId::new::<V4>(number)
    }

    fn v6(number: u32) -> EntryId {
        EntryId::new::<V6>(number)
    }

    fn own(number: u32) -> LocalEntry {
        LocalEntry {
            id: v4(number),
            tag: Tag(number),
            displaced: false,
        }
    }

    #[test]
    fn entries_are_counted_and_found() {
        let mut index = ReplicaIndex::default();
        assert_eq!(index.set(v4(3), Some(own(5)), SIZES), Ok(None));
        assert_eq!(index.set(v6(3), Some(own(6)), SIZES), Ok(None));
        assert_eq!(index.set(v4(3), Some(own(7)), SIZES), Ok(Some(own(5))));
        assert_eq!((index.count(), index.get(v4(3))), (2, Some(own(7))));
        assert_eq!(index.set(v4(3), None, SIZES), Ok(Some(own(7))));
        assert_eq!(index.set(v4(4), None, SIZES), Ok(None));
        assert_eq!((index.count(), index.get(v4(3))), (1, None));
        assert_eq!(index.get(v4(0)), None);
    }

    #[test]
    fn parts_together_are_the_whole() {
        let mut index = ReplicaIndex::default();
        let all = [v4(1), v4(4), v6(2)];
        for id in all {
            index.set(id, Some(own(9)), SIZES).unwrap();
        }
        let mut met = Vec::new();
        let mut place = 0;
        for _ in 0..2 {
            let (part, next) = index.part(place, 3);
            met.extend(part.iter().map(|(id, _)| *id));
            place = next;
        }
        assert_eq!(met, all);
        assert_eq!(place, 0, "it begins again");
    }

    #[test]
    fn a_number_beyond_the_peers_tables_is_refused() {
        let mut index = ReplicaIndex::default();
        for id in [v4(0), v4(17), v6(0), v6(9), v6(u32::MAX)] {
            let set = index.set(id, Some(own(1)), SIZES);
            assert_eq!(set, Err(Refusal::Malformed), "{id:?}");
        }
        assert!(index.set(v4(16), Some(own(1)), SIZES).is_ok());
        assert!(index.set(v6(8), Some(own(1)), SIZES).is_ok());
    }

    #[test]
    fn entries_that_were_not_sent_again_are_gone() {
        let (mut before, mut after) = (ReplicaIndex::default(), ReplicaIndex::default());
        for (number, local) in [(1, 10), (2, 11), (3, 12)] {
            before.set(v4(number), Some(own(local)), SIZES).unwrap();
        }
        after.set(v4(1), Some(own(10)), SIZES).unwrap();
        // The same one, under another number there.
        after.set(v4(7), Some(own(11)), SIZES).unwrap();
        assert_eq!(before.without(&after), [own(12)]);
        before.overlay(after);
        assert_eq!((before.count(), before.get(v4(7))), (4, Some(own(11))));
        assert_eq!(before.get(v4(3)), Some(own(12)));
    }
}
