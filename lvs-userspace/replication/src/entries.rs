//! The entries of both connection tables, word by word.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, Ordering};

use lvs_common::connection::{Entry, EntryId, Tag};
use lvs_common::family::{Family, PerFamily, V4, V6};
use lvs_dataplane::kernel::{EntryMapping, Maps};

/// Both connection tables.
#[derive(Clone, Copy)]
pub(crate) struct Entries<'a> {
    pub(crate) v4: &'a EntryMapping<V4>,
    pub(crate) v6: &'a EntryMapping<V6>,
}

/// A word of an entry.
#[derive(Clone, Copy)]
enum Word {
    Seen,
    Timeout,
    Packets,
}

impl Word {
    const fn offset<F: Family>(self) -> usize {
        match self {
            Self::Seen => offset_of!(Entry<F>, seen),
            Self::Timeout => offset_of!(Entry<F>, timeout),
            Self::Packets => offset_of!(Entry<F>, packets),
        }
    }
}

impl<'a> From<&'a Maps> for Entries<'a> {
    fn from(maps: &'a Maps) -> Self {
        Self {
            v4: &maps.connections4,
            v6: &maps.connections6,
        }
    }
}

impl Entries<'_> {
    /// Number of entries of each table.
    pub(crate) const fn sizes(self) -> PerFamily<u32> {
        PerFamily {
            v4: self.v4.len(),
            v6: self.v6.len(),
        }
    }

    /// All entries, those of IPv4 first.
    pub(crate) fn ids(self) -> impl Iterator<Item = EntryId> {
        let sizes = self.sizes();
        (0..).map_while(move |place| EntryId::at(place, sizes))
    }

    /// Its tag: whether it is in use, and its state.
    pub(crate) fn tag(self, id: EntryId) -> Option<Tag> {
        if id.is_ipv6() {
            self.v6.tag(id.index())
        } else {
            self.v4.tag(id.index())
        }
    }

    /// The tick of its last packet.
    pub(crate) fn seen(self, id: EntryId) -> Option<u32> {
        self.load(id, Word::Seen)
    }

    /// Ticks without a packet after which it is expired.
    pub(crate) fn timeout(self, id: EntryId) -> Option<u32> {
        self.load(id, Word::Timeout)
    }

    /// Packets of its client that arrived here; 0: it belongs to the director that sent it.
    pub(crate) fn packets(self, id: EntryId) -> Option<u32> {
        self.load(id, Word::Packets)
    }

    /// Sets the tick of its last packet.
    pub(crate) fn set_seen(self, id: EntryId, seen: u32) {
        self.store(id, Word::Seen, seen);
    }

    /// Sets the number of packets of its client that arrived here.
    pub(crate) fn set_packets(self, id: EntryId, packets: u32) {
        self.store(id, Word::Packets, packets);
    }

    fn load(self, id: EntryId, word: Word) -> Option<u32> {
        self.word(id, word, |word| word.load(Ordering::Relaxed))
    }

    fn store(self, id: EntryId, word: Word, value: u32) {
        self.word(id, word, |word| word.store(value, Ordering::Relaxed));
    }

    fn word<R>(self, id: EntryId, word: Word, work: impl FnOnce(&AtomicU32) -> R) -> Option<R> {
        if id.is_ipv6() {
            self.v6.word(id.index(), word.offset::<V6>(), work)
        } else {
            self.v4.word(id.index(), word.offset::<V4>(), work)
        }
    }
}
