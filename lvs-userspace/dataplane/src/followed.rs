//! The addresses whose next hops are kept, with their last changes: whoever knows the others looks at those alone. There
//! may be tens of thousands of addresses, and an edit changes one.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

/// Changes that are kept.
const KEPT: usize = 256;

/// Addresses, and those of them that changed last.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    addresses: BTreeSet<IpAddr>,
    /// Added or removed, the latest at the end.
    changed: VecDeque<IpAddr>,
    changes: u64,
}

impl Followed {
    /// The addresses.
    pub const fn addresses(&self) -> &BTreeSet<IpAddr> {
        &self.addresses
    }

    /// Number of changes so far.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Addresses that were added or removed since there were so many changes; `None`: more than are kept.
    pub fn changed_since(&self, changes: u64) -> Option<impl Iterator<Item = IpAddr>> {
        let count = usize::try_from(self.changes.checked_sub(changes)?).ok()?;
        let skipped = self.changed.len().checked_sub(count)?;
        Some(self.changed.iter().skip(skipped).copied())
    }

    /// Adds addresses. False: all of them are there already.
    pub fn extend(&mut self, addresses: &BTreeSet<IpAddr>) -> bool {
        let before = self.changes;
        for &address in addresses {
            if self.addresses.insert(address) {
                self.note(address);
            }
        }
        self.changes != before
    }

    /// Makes the addresses exactly these, which are in order. False: they are already.
    pub fn set<I: Iterator<Item = IpAddr>>(&mut self, addresses: impl Fn() -> I) -> bool {
        if self.addresses.iter().copied().eq(addresses()) {
            return false;
        }
        let before = std::mem::replace(&mut self.addresses, addresses().collect());
        let changed: Vec<_> = before
            .symmetric_difference(&self.addresses)
            .copied()
            .collect();
        for address in changed {
            self.note(address);
        }
        true
    }

    fn note(&mut self, address: IpAddr) {
        self.changes += 1;
        if self.changed.len() == KEPT {
            self.changed.pop_front();
        }
        self.changed.push_back(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(last: impl Iterator<Item = u8>) -> BTreeSet<IpAddr> {
        last.map(|last| IpAddr::from([10, 0, 0, last])).collect()
    }

    fn since(followed: &Followed, changes: u64) -> Option<BTreeSet<IpAddr>> {
        Some(followed.changed_since(changes)?.collect())
    }

    #[test]
    fn a_reader_that_knows_the_others_is_told_the_changes() {
        let mut followed = Followed::default();
        assert!(followed.extend(&set(1..=3)));
        assert_eq!(since(&followed, 0), Some(set(1..=3)));
        let seen = followed.changes();
        assert_eq!(since(&followed, seen), Some(set(0..0)));
        assert!(!followed.extend(&set(2..=3)));
        let other = set([2, 3, 9].into_iter());
        assert!(followed.set(|| other.iter().copied()));
        assert_eq!(since(&followed, seen), Some(set([1, 9].into_iter())));
        assert_eq!(followed.addresses(), &other);
        assert!(!followed.set(|| other.iter().copied()));
        assert_eq!(since(&followed, followed.changes()), Some(set(0..0)));
    }

    #[test]
    fn more_changes_than_are_kept_are_none() {
        let mut followed = Followed::default();
        let many: BTreeSet<_> = (0..=KEPT)
            .map(|number| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes()))
            .collect();
        followed.extend(&many);
        assert_eq!(since(&followed, 0), None);
        assert_eq!(since(&followed, 1).unwrap().len(), KEPT);
        assert_eq!(since(&followed, 1 + followed.changes()), None);
    }
}
