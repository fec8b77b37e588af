//! The connection table over its mapping, as `lvs_common` works on it: the daemon inserts and removes
//! by the very code that packets do, at the same time.
//!
//! The argument of [`lvs_common::connection::table`] needs two things of each side, and this one gives
//! them as the program does:
//!
//! - a tag changes by compare-and-exchange, or by a store of whoever owns the way. Both ends of the
//!   mapping are the same memory, and so are their atomic instructions;
//! - an exchange is a full barrier, so that of two inserters of a key one sees the other's claim. In
//!   BPF every atomic instruction with a result is one; here each is followed by a fence.
//!
//! What differs is time: a packet is handled in microseconds, while a thread of the daemon may be kept
//! waiting for seconds with a way half written. To the sweep that looks like one that was left behind
//! by a killed daemon, so whoever inserts holds [`claims`], and the sweep frees such ways only while it
//! holds them itself.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use lvs_common::abi::{Crowd, WAYS};
use lvs_common::connection::table::{New, Store, Ways};
use lvs_common::connection::{Client, Entry, Key, Loads, Record, Servers, Tag};
use lvs_common::family::Family;
use lvs_common::walk::Walk;
use parking_lot::{Mutex, MutexGuard};

use crate::kernel::{EntryMapping, ServerLoads};

/// Waits until no other thread of this process has ways claimed, and keeps it so.
pub fn claims() -> MutexGuard<'static, ()> {
    static CLAIMS: Mutex<()> = Mutex::new(());
    CLAIMS.lock()
}

/// One of the connection tables with what its entries are accounted for in.
#[derive(Clone, Copy)]
pub struct Table<'a, F: Family> {
    entries: &'a EntryMapping<F>,
    loads: &'a ServerLoads,
}

impl<'a, F: Family> Table<'a, F> {
    /// A table whose connections are counted in `loads`.
    pub const fn new(entries: &'a EntryMapping<F>, loads: &'a ServerLoads) -> Self {
        Self { entries, loads }
    }
}

impl<F: Family> Servers for Table<'_, F> {
    fn has_long_indexes(self) -> bool {
        self.loads.has_long_indexes()
    }

    fn service_of_server(self, server: u32) -> u32 {
        self.loads.service_of_server(server)
    }
}

impl<F: Family> Loads for Table<'_, F> {
    fn account(self, server: u32, change: u64) {
        self.loads.account(server, change);
    }

    fn account_template(self, server: u32, change: u32) {
        if let Some(templates) = self.loads.templates(server) {
            templates.fetch_add(change, Ordering::Relaxed);
        }
    }
}

impl<F: Family> Table<'_, F> {
    /// Counts no packet of an entry, by its number plus one: it belongs to the director that sent it.
    pub fn disown(self, number: u32) {
        let offset = offset_of!(Entry<F>, packets);
        self.entries.store(number.wrapping_sub(1), offset, 0);
    }
}

impl<F: Family> Walk for Table<'_, F> {}

impl<'a, F: Family> Store<F> for Table<'a, F> {
    type Set = Set<'a, F>;

    fn sets(self) -> u32 {
        self.entries.len() / WAYS
    }

    fn set(self, number: u32) -> Option<Set<'a, F>> {
        (number < self.sets()).then_some(Set {
            entries: self.entries,
            first: number * WAYS,
        })
    }

    /// None: another director has made room for what it holds already.
    fn crowd(self) -> Crowd {
        Crowd::default()
    }
}

/// A set of ways.
#[derive(Clone, Copy)]
pub struct Set<'a, F: Family> {
    entries: &'a EntryMapping<F>,
    /// Number of its way 0 from the start of the table.
    first: u32,
}

impl<F: Family> Set<'_, F> {
    const fn number(self, way: u32) -> u32 {
        self.first + way % WAYS
    }

    fn with_tag<R>(self, way: u32, work: impl FnOnce(&AtomicU32) -> R) -> Option<R> {
        let tag = offset_of!(Entry<F>, tag);
        self.entries.word(self.number(way), tag, work)
    }

    fn entry(self, way: u32) -> Entry<F> {
        let entry = self.entries.read(self.number(way));
        entry.unwrap_or_else(|| blank())
    }

    fn load(self, way: u32, offset: usize) -> u32 {
        let load = |word: &AtomicU32| word.load(Ordering::Relaxed);
        let word = self.entries.word(self.number(way), offset, load);
        word.unwrap_or(0)
    }

    fn store(self, way: u32, offset: usize, value: u32) {
        self.entries.store(self.number(way), offset, value);
    }
}

impl<F: Family> Ways<F> for Set<'_, F> {
    fn tag(self, way: u32) -> Tag {
        let load = |word: &AtomicU32| word.load(Ordering::SeqCst);
        let tag = Tag(self
            .entries
            .look_at_tag(self.number(way), load)
            .unwrap_or(0));
        // What was read before is not read later than the tag that is to prove it.
        fence(Ordering::SeqCst);
        tag
    }

    fn exchange(self, way: u32, expected: Tag, new: Tag) -> bool {
        let won = self.with_tag(way, |word| {
            word.compare_exchange(expected.0, new.0, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        });
        fence(Ordering::SeqCst);
        won.unwrap_or(false)
    }

    fn publish(self, way: u32, tag: Tag) {
        self.with_tag(way, |word| word.swap(tag.0, Ordering::SeqCst));
        fence(Ordering::SeqCst);
    }

    fn holds(self, way: u32, key: &Key<F>) -> bool {
        self.entry(way).key == *key
    }

    fn seen(self, way: u32) -> u32 {
        self.load(way, offset_of!(Entry<F>, seen))
    }

    fn timeout(self, way: u32) -> u32 {
        self.load(way, offset_of!(Entry<F>, timeout))
    }

    fn packets(self, way: u32) -> u32 {
        self.load(way, offset_of!(Entry<F>, packets))
    }

    fn partner(self, way: u32) -> u32 {
        self.load(way, offset_of!(Entry<F>, partner))
    }

    fn key(self, way: u32) -> Key<F> {
        self.entry(way).key
    }

    fn record(self, way: u32) -> Record {
        self.entry(way).record
    }

    fn client(self, way: u32) -> Client {
        self.entry(way).client
    }

    fn write(self, way: u32, new: &New<F>) {
        let entry = Entry {
            seen: new.now,
            key: new.key,
            record: new.record,
            packets: 1,
            timeout: new.timeout,
            partner: new.partner,
            client: new.client,
            ..blank()
        };
        // All but the tag, which owns the way, and the hint, which belongs to the set.
        let words = offset_of!(Entry<F>, seen)..offset_of!(Entry<F>, hint);
        self.entries.write_words(self.number(way), &entry, words);
    }

    fn hint(self) -> bool {
        self.load(0, offset_of!(Entry<F>, hint)) != 0
    }

    fn set_hint(self) {
        let hint = offset_of!(Entry<F>, hint);
        let set = |word: &AtomicU32| word.swap(1, Ordering::SeqCst);
        self.entries.word(self.first, hint, set);
        fence(Ordering::SeqCst);
    }

    fn set_partner(self, way: u32, partner: u32) {
        self.store(way, offset_of!(Entry<F>, partner), partner);
    }

    fn touch(self, way: u32, now: u32, timeout: u32) -> u32 {
        let packets = self.packets(way).wrapping_add(1);
        self.store(way, offset_of!(Entry<F>, packets), packets);
        self.touch_reply(way, now, timeout);
        packets
    }

    fn touch_reply(self, way: u32, now: u32, timeout: u32) {
        self.store(way, offset_of!(Entry<F>, seen), now);
        self.store(way, offset_of!(Entry<F>, timeout), timeout);
    }

    fn set_client(self, way: u32, client: &Client) {
        let entry = Entry {
            client: *client,
            ..blank()
        };
        let words = offset_of!(Entry<F>, client)..offset_of!(Entry<F>, hint);
        self.entries.write_words(self.number(way), &entry, words);
    }
}

/// An entry of zeroes.
pub(crate) fn blank<F: Family>() -> Entry<F> {
    let address = F::narrow(&[0; 16]);
    Entry {
        tag: 0,
        seen: 0,
        key: Key {
            source: address,
            destination: address,
            ports: lvs_common::connection::Ports::default(),
            protocol: 0,
            kind: 0,
        },
        record: Record::BLANK,
        packets: 0,
        timeout: 0,
        partner: 0,
        client: Client::default(),
        hint: 0,
        padding: F::PADDING,
    }
}
