//! The connection table of one family as memory, way by way.

use std::mem::offset_of;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::maps::MapData;
use lvs_common::abi::{Mac, age};
use lvs_common::connection::table::Standing;
use lvs_common::connection::{Client, Entry, Key, Kind, Record, Tag};
use lvs_common::family::Family;

use super::error::KernelError;
use super::mapping::{Mapping, Plain};
use super::windows::Windows;

/// An entry in the mapping.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Way<F: Family>(Entry<F>);

// SAFETY: integers and byte arrays in both families, so any bytes are an entry; `PADDED` makes sure at
// compile time that they fill it. (zerocopy cannot derive that for a generic type.)
unsafe impl<F: Family> Plain for Way<F> {}

impl<F: Family> Way<F> {
    /// Fails to compile if an entry has bytes that no field fills.
    const PADDED: () = assert!(
        size_of::<Entry<F>>()
            == 6 * size_of::<u32>()
                + size_of::<Key<F>>()
                + size_of::<Record>()
                + size_of::<Client>()
                + size_of::<F::Padding>()
    );
}

/// The entries of a connection table. Whoever reads one while packets may change it compares its tag before
/// and after.
pub struct EntryMapping<F: Family>(Windows<Way<F>>);

impl<F: Family> EntryMapping<F> {
    pub(super) fn of(map: MapData, name: &str) -> Result<Self, KernelError> {
        let () = Way::<F>::PADDED;
        Windows::of(map, name).map(Self)
    }

    /// As many zeroed entries in memory of this process alone.
    ///
    /// # Panics
    ///
    /// Panics if the kernel has no memory to map.
    #[cfg(any(test, feature = "testing"))]
    pub fn zeroed(len: u32) -> Self {
        Self(Windows::zeroed(len))
    }

    /// Number of ways.
    pub const fn len(&self) -> u32 {
        self.0.len()
    }

    /// True if there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks through all ways that are not free, in their order, and has memory for those parts only that somebody else
    /// uses, too, or that are just looked through.
    pub fn look_through(&self, mut look: impl FnMut(u32, Tag)) {
        self.0.look_through(|first, part| {
            for way in 0..part.len() {
                let word = part.word(way, offset_of!(Entry<F>, tag));
                let tag = word.map_or(0, |word| word.load(Ordering::Acquire));
                if !Tag(tag).is_free() {
                    look(first + way, Tag(tag));
                }
            }
        });
    }

    /// A copy of an entry; `None` past the end.
    pub fn read(&self, way: u32) -> Option<Entry<F>> {
        let entry = self.0.with(way, Mapping::read).flatten();
        entry.map(|Way(entry)| entry)
    }

    /// A copy of a live entry, and its tag afterwards; `None` if none lives there, or another one since the
    /// copy was begun.
    pub fn read_live(&self, way: u32) -> Option<(Tag, Entry<F>)> {
        let before = self.live(way)?;
        let entry = self.read(way)?;
        let after = self
            .live(way)
            .filter(|after| after.same_connection(before))?;
        Some((after, entry))
    }

    /// Replaces an entry.
    pub fn write(&self, way: u32, entry: Entry<F>) {
        self.0.with(way, |part, way| part.write(way, Way(entry)));
    }

    /// Replaces the words of an entry that lie in a range of offsets in bytes, one by one.
    pub fn write_words(&self, way: u32, entry: &Entry<F>, range: Range<usize>) {
        let entry = Way(*entry);
        self.0
            .with(way, |part, way| part.write_words(way, &entry, range));
    }

    /// Does something with a word of an entry, by its offset in bytes; `None` past the end.
    pub fn word<R>(
        &self,
        way: u32,
        offset: usize,
        work: impl FnOnce(&AtomicU32) -> R,
    ) -> Option<R> {
        let done = self
            .0
            .with(way, |part, way| part.word(way, offset).map(work));
        done.flatten()
    }

    /// Does something with the tag of a way. Who does nothing but look for ways in use costs no memory with it.
    pub fn look_at_tag<R>(&self, way: u32, work: impl FnOnce(&AtomicU32) -> R) -> Option<R> {
        let tag = offset_of!(Entry<F>, tag);
        let done = self
            .0
            .glance(way, |part, way| part.word(way, tag).map(work));
        done.flatten()
    }

    fn load(&self, way: u32, offset: usize) -> Option<u32> {
        self.word(way, offset, |word| word.load(Ordering::Relaxed))
    }

    /// Stores a word of an entry, by its offset in bytes.
    pub fn store(&self, way: u32, offset: usize, value: u32) {
        self.word(way, offset, |word| word.store(value, Ordering::Relaxed));
    }

    /// The tag of a way, as it is now.
    pub fn tag(&self, way: u32) -> Option<Tag> {
        self.look_at_tag(way, |word| Tag(word.load(Ordering::Acquire)))
    }

    /// The tag of a way if a connection or template lives there now.
    pub fn live(&self, way: u32) -> Option<Tag> {
        self.tag(way).filter(|tag| tag.is_live())
    }

    /// Replaces a tag; false if it is no longer the expected one.
    pub fn exchange(&self, way: u32, expected: Tag, new: Tag) -> bool {
        let exchanged = self.word(way, offset_of!(Entry<F>, tag), |word| {
            let exchanged =
                word.compare_exchange(expected.0, new.0, Ordering::AcqRel, Ordering::Relaxed);
            exchanged.is_ok()
        });
        exchanged.unwrap_or(false)
    }

    /// Clock tick of the last packet.
    pub fn seen(&self, way: u32) -> u32 {
        self.load(way, offset_of!(Entry<F>, seen)).unwrap_or(0)
    }

    /// Ticks without a packet after which the entry is expired.
    pub fn timeout(&self, way: u32) -> u32 {
        self.load(way, offset_of!(Entry<F>, timeout)).unwrap_or(0)
    }

    /// Packets from the client.
    pub fn packets(&self, way: u32) -> u32 {
        self.load(way, offset_of!(Entry<F>, packets)).unwrap_or(0)
    }

    /// Way of the entry for the other direction; `None`: there is none.
    pub fn partner(&self, way: u32) -> Option<u32> {
        self.load(way, offset_of!(Entry<F>, partner))?
            .checked_sub(1)
            .filter(|&partner| partner < self.len())
    }

    /// Ticks until the entry expires; `None`: it was without a packet for longer than its timeout.
    pub fn left(&self, way: u32, now: u32) -> Option<u32> {
        self.timeout(way).checked_sub(age(now, self.seen(way)))
    }

    /// Protocol and kind of an entry, and two bytes of its record: one word of it.
    fn first_word(&self, way: u32) -> (u8, Kind, [u8; 2]) {
        const {
            assert!(offset_of!(Key<F>, kind) == offset_of!(Key<F>, protocol) + 1);
            assert!(
                offset_of!(Entry<F>, record)
                    == offset_of!(Entry<F>, key) + offset_of!(Key<F>, protocol) + 2
            );
        }
        let offset = offset_of!(Entry<F>, key) + offset_of!(Key<F>, protocol);
        let [protocol, kind, first, second] = self.load(way, offset).unwrap_or(0).to_ne_bytes();
        (protocol, Kind::from_raw(kind), [first, second])
    }

    /// Protocol, kind and record of an entry: two words of it. They mean something while its tag says that it is live.
    pub fn route(&self, way: u32) -> (u8, Kind, Record) {
        const {
            assert!((offset_of!(Entry<F>, record) + 2).is_multiple_of(4));
            assert!(size_of::<Record>() == 6);
        }
        let (protocol, kind, [first, second]) = self.first_word(way);
        let rest = self
            .load(way, offset_of!(Entry<F>, record) + 2)
            .unwrap_or(0);
        let [third, fourth, method, persistence] = rest.to_ne_bytes();
        let halves = [[first, second], [third, fourth]].map(u16::from_ne_bytes);
        (
            protocol,
            kind,
            Record::of_parts(halves, method, persistence),
        )
    }

    /// Returns whether an entry is proven, as whoever is short of room judges it; one with a partner by its
    /// connection.
    pub fn is_proven(&self, way: u32) -> bool {
        let partner = self.partner(way);
        let (connection, reply) = match partner {
            Some(partner) if self.kind(way) == Kind::Reply => (partner, Some(way)),
            partner => (way, partner),
        };
        let (protocol, ..) = self.first_word(connection);
        let born = match reply {
            Some(reply) => self.seen(reply),
            None => self
                .load(connection, offset_of!(Entry<F>, partner))
                .unwrap_or(0),
        };
        let standing = Standing {
            tag: self.tag(connection).unwrap_or_default(),
            protocol,
            packets: self.packets(connection),
            seen: self.seen(connection),
            born,
        };
        standing.is_proven()
    }

    /// Kind of the entry; means something while its tag says that it is live.
    pub fn kind(&self, way: u32) -> Kind {
        let (_, kind, _) = self.first_word(way);
        kind
    }

    /// Generation and interface of the way to a client, see [`Client`].
    pub fn client(&self, way: u32) -> (u16, u32) {
        const {
            assert!(offset_of!(Client, vlan) == 0);
            assert!(offset_of!(Client, generation) == 2);
        }
        let client = offset_of!(Entry<F>, client);
        let [_, _, low, high] = self.load(way, client).unwrap_or(0).to_ne_bytes();
        let interface = self.load(way, client + offset_of!(Client, interface));
        (u16::from_ne_bytes([low, high]), interface.unwrap_or(0))
    }

    /// Ethernet address that replies to a client go to; zero where none do.
    pub fn client_mac(&self, way: u32) -> Mac {
        const {
            assert!(offset_of!(Client, ethernet) == 4);
        }
        // The destination is the first of the two addresses.
        let mac = offset_of!(Entry<F>, client) + offset_of!(Client, ethernet);
        let word = |at| self.load(way, at).unwrap_or(0).to_ne_bytes();
        let mut bytes = [0; 6];
        let words = [word(mac), word(mac + 4)];
        for (to, from) in bytes.iter_mut().zip(words.as_flattened()) {
            *to = *from;
        }
        bytes
    }
}
