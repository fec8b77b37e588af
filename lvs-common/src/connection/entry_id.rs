//! Names of entries across both connection tables.

use crate::family::{Family, PerFamily, V4, V6};

/// An entry of either connection table: its number there, counted from one, and the table's family.
///
/// Events and peers' messages carry it as 32 bits: the number, and in the highest bit that the table is
/// that of IPv6. A table has fewer entries than that: the kernel's arrays end at 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct EntryId(u32);

impl EntryId {
    /// The bit of the IPv6 table.
    const IPV6: u32 = 1 << 31;

    /// The entry with this number, counted from one, in the table of a family.
    #[inline(always)]
    pub const fn new<F: Family>(number: u32) -> Self {
        if F::NUMBER == V4::NUMBER {
            Self(number)
        } else {
            Self(number | Self::IPV6)
        }
    }

    /// The entry that 32 bits stand for; `None` where they name none.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & !Self::IPV6 == 0 {
            None
        } else {
            Some(Self(bits))
        }
    }

    /// The 32 bits that stand for it.
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns whether it is an entry of the IPv6 table.
    pub const fn is_ipv6(self) -> bool {
        self.0 & Self::IPV6 != 0
    }

    /// 4 or 6: the family of its table.
    pub const fn family(self) -> u8 {
        if self.is_ipv6() {
            V6::NUMBER
        } else {
            V4::NUMBER
        }
    }

    /// Its number in its table, counted from one.
    pub const fn number(self) -> u32 {
        self.0 & !Self::IPV6
    }

    /// Its number in its table, counted from zero: the index of its way.
    pub const fn index(self) -> u32 {
        self.number().wrapping_sub(1)
    }

    /// The entry with another number, counted from one, in the same table.
    #[must_use]
    pub const fn sibling(self, number: u32) -> Self {
        Self(number | (self.0 & Self::IPV6))
    }

    /// The entry at a place of both tables in a row, IPv4's first, which have so many entries; `None`
    /// beyond their end.
    pub fn at(place: u32, sizes: PerFamily<u32>) -> Option<Self> {
        match place.checked_sub(sizes.v4) {
            None => Some(Self::new::<V4>(place + 1)),
            Some(index) if index < sizes.v6 => Some(Self::new::<V6>(index + 1)),
            Some(_) => None,
        }
    }

    /// Its place as [`EntryId::at`] counts.
    pub const fn place(self, sizes: PerFamily<u32>) -> u32 {
        if self.is_ipv6() {
            sizes.v4.wrapping_add(self.index())
        } else {
            self.index()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EntryId;
    use crate::family::{PerFamily, V4, V6};

    #[test]
    fn an_entry_is_known_by_number_and_table() {
        let (four, six) = (EntryId::new::<V4>(3), EntryId::new::<V6>(3));
        assert_ne!(four, six);
        assert_eq!([four.number(), six.number()], [3; 2]);
        assert_eq!([four.index(), six.index()], [2; 2]);
        assert_eq!([four.family(), six.family()], [4, 6]);
        assert_eq!([four.bits(), six.bits()], [3, 3 | 1 << 31]);
        assert_eq!(six.sibling(9), EntryId::new::<V6>(9));
        for id in [four, six] {
            assert_eq!(EntryId::from_bits(id.bits()), Some(id));
        }
        assert_eq!([0, 1 << 31].map(EntryId::from_bits), [None; 2]);
    }

    #[test]
    fn places_go_through_both_tables() {
        let sizes = PerFamily { v4: 2, v6: 3 };
        let ids: std::vec::Vec<_> = (0..9)
            .map_while(|place| EntryId::at(place, sizes))
            .collect();
        let expected = [
            EntryId::new::<V4>(1),
            EntryId::new::<V4>(2),
            EntryId::new::<V6>(1),
            EntryId::new::<V6>(2),
            EntryId::new::<V6>(3),
        ];
        assert_eq!(ids, expected);
        for (place, id) in (0..).zip(ids) {
            assert_eq!(id.place(sizes), place);
        }
    }

    #[test]
    fn of_a_pair_an_id_finds_its_table() {
        let mut pair = PerFamily { v4: 'a', v6: 'b' };
        assert_eq!(*pair.of(EntryId::new::<V4>(1).family()), 'a');
        *pair.of_mut(EntryId::new::<V6>(1).family()) = 'c';
        assert_eq!(pair.v6, 'c');
        assert_eq!(pair.map(u32::from).v4, 97);
    }
}
