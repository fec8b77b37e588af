//! Which entries of the own tables hold what a peer told, by its numbers.

use std::collections::HashSet;

use lvs_common::abi::EVENT_IPV6;
use lvs_common::connection::Tag;

use super::refusal::Refusal;

/// Where a peer's entry is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The number of the own entry, see [`lvs_common::abi::event`]; 0: it is not held.
    pub(super) id: u32,
    /// Its tag when it was taken.
    pub(super) tag: Tag,
    /// This director's own gave way to it.
    pub(super) displaced: bool,
}

impl Held {
    /// Whether it is held.
    pub(super) const fn is_some(self) -> bool {
        self.id != 0
    }
}

/// What is held of one peer. Grows with the peer's highest number, up to the size of its tables.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    held4: Vec<Held>,
    held6: Vec<Held>,
    count: u32,
}

impl Mirror {
    /// Entries that are held, as far as is known: some may have expired here meanwhile.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// What is held under a number.
    pub(super) fn get(&self, id: u32) -> Held {
        let held = if id & EVENT_IPV6 == 0 {
            &self.held4
        } else {
            &self.held6
        };
        let index = (id & !EVENT_IPV6).wrapping_sub(1) as usize;
        held.get(index).copied().unwrap_or_default()
    }

    /// Notes what is held under a number of a peer whose tables have so many entries, and returns what was
    /// before.
    pub(super) fn set(&mut self, id: u32, held: Held, ways: [u32; 2]) -> Result<Held, Refusal> {
        let [ways4, ways6] = ways;
        let (all, ways) = if id & EVENT_IPV6 == 0 {
            (&mut self.held4, ways4)
        } else {
            (&mut self.held6, ways6)
        };
        let number = id & !EVENT_IPV6;
        if number == 0 || number > ways {
            return Err(Refusal::Item);
        }
        let index = number as usize - 1;
        if all.len() <= index {
            if !held.is_some() {
                return Ok(held);
            }
            all.resize(index + 1, Held::default());
        }
        let place = all.get_mut(index).ok_or(Refusal::Item)?;
        let before = std::mem::replace(place, held);
        self.count = self.count + u32::from(held.is_some()) - u32::from(before.is_some());
        Ok(before)
    }

    /// All that is held.
    pub(super) fn iter(&self) -> impl Iterator<Item = Held> {
        let all = self.held4.iter().chain(&self.held6);
        all.copied().filter(|held| held.is_some())
    }

    /// What is held among so many numbers from a place on, with those numbers, and the place to go on from:
    /// the first one after the last.
    pub(super) fn part(&self, place: usize, count: usize) -> (Vec<(u32, Held)>, usize) {
        let ids4 = (1_u32..).zip(&self.held4);
        let ids6 = (EVENT_IPV6 + 1..).zip(&self.held6);
        let all = ids4.chain(ids6).skip(place).take(count);
        let held = all.filter(|(_, held)| held.is_some());
        let next = place + count;
        let end = self.held4.len() + self.held6.len();
        (
            held.map(|(id, held)| (id, *held)).collect(),
            if next < end { next } else { 0 },
        )
    }

    /// Keeps some of it.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Held) -> bool) {
        for held in self.held4.iter_mut().chain(&mut self.held6) {
            if held.is_some() && !keep(*held) {
                *held = Held::default();
                self.count -= 1;
            }
        }
    }

    /// What this held and `newer` does not, under whatever number.
    pub(super) fn without(&self, newer: &Self) -> Vec<Held> {
        let pairs = [(&self.held4, &newer.held4), (&self.held6, &newer.held6)];
        let mut gone: Vec<Held> = Vec::new();
        for (before, after) in pairs {
            let after = after.iter().map(|held| held.id);
            let changed = before.iter().zip(after.chain(std::iter::repeat(0)));
            let changed = changed.filter(|(held, after)| held.is_some() && held.id != *after);
            gone.extend(changed.map(|(held, _)| held));
        }
        if !gone.is_empty() {
            let there: HashSet<u32> = newer.iter().map(|held| held.id).collect();
            gone.retain(|held| !there.contains(&held.id));
        }
        gone
    }

    /// Takes over what a later session held that was not complete.
    pub(super) fn overlay(&mut self, later: Self) {
        for (mine, later) in [
            (&mut self.held4, later.held4),
            (&mut self.held6, later.held6),
        ] {
            if mine.len() < later.len() {
                mine.resize(later.len(), Held::default());
            }
            for (place, held) in mine.iter_mut().zip(later) {
                if held.is_some() {
                    self.count += u32::from(!place.is_some());
                    *place = held;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(id: u32) -> Held {
        Held {
            id,
            tag: Tag(id),
            displaced: false,
        }
    }

    const WAYS: [u32; 2] = [16, 8];

    #[test]
    fn entries_are_counted_and_found() {
        let mut mirror = Mirror::default();
        let none = Held::default();
        assert_eq!(mirror.set(3, held(5), WAYS), Ok(none));
        assert_eq!(mirror.set(3 | EVENT_IPV6, held(6), WAYS), Ok(none));
        assert_eq!(mirror.set(3, held(7), WAYS), Ok(held(5)));
        assert_eq!((mirror.count(), mirror.get(3)), (2, held(7)));
        assert_eq!(mirror.set(3, none, WAYS), Ok(held(7)));
        assert_eq!(mirror.set(4, none, WAYS), Ok(none));
        assert_eq!((mirror.count(), mirror.get(3)), (1, none));
        assert_eq!(mirror.get(0), none);
    }

    #[test]
    fn all_of_it_is_met_part_by_part() {
        let mut mirror = Mirror::default();
        for id in [1, 4, EVENT_IPV6 + 2] {
            mirror.set(id, held(9), WAYS).unwrap();
        }
        let mut met = Vec::new();
        let mut place = 0;
        for _ in 0..2 {
            let (part, next) = mirror.part(place, 3);
            met.extend(part.iter().map(|(id, _)| *id));
            place = next;
        }
        assert_eq!(met, [1, 4, EVENT_IPV6 + 2]);
        assert_eq!(place, 0, "it begins again");
    }

    #[test]
    fn a_number_beyond_the_peers_tables_is_refused() {
        let mut mirror = Mirror::default();
        for id in [0, 17, EVENT_IPV6, 9 | EVENT_IPV6, u32::MAX] {
            assert_eq!(mirror.set(id, held(1), WAYS), Err(Refusal::Item), "{id}");
        }
        assert!(mirror.set(16, held(1), WAYS).is_ok());
        assert!(mirror.set(8 | EVENT_IPV6, held(1), WAYS).is_ok());
    }

    #[test]
    fn what_was_not_told_again_is_gone() {
        let (mut before, mut after) = (Mirror::default(), Mirror::default());
        for (number, own) in [(1, 10), (2, 11), (3, 12)] {
            before.set(number, held(own), WAYS).unwrap();
        }
        after.set(1, held(10), WAYS).unwrap();
        // The same one, under another number there.
        after.set(7, held(11), WAYS).unwrap();
        assert_eq!(before.without(&after), [held(12)]);
        before.overlay(after);
        assert_eq!((before.count(), before.get(7)), (4, held(11)));
        assert_eq!(before.get(3), held(12));
    }
}
