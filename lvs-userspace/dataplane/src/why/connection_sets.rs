//! Copies of sets of the connection table, in which a rehearsed packet may insert and change what it likes.

use std::cell::Cell;

use lvs_common::abi::WAYS;
use lvs_common::connection::table::{New, Ways};
use lvs_common::connection::{Client, Entry, Key, Record, Tag};
use lvs_common::family::Family;

use crate::kernel::EntryMapping;
use crate::table::blank;

/// A copy of a set.
pub(super) struct CopiedSet<F: Family> {
    ways: [Cell<Entry<F>>; WAYS as usize],
}

impl<F: Family> CopiedSet<F> {
    /// The set with this number as it is now.
    pub(super) fn of(entries: &EntryMapping<F>, number: u32) -> Self {
        let first = number * WAYS;
        let ways = std::array::from_fn(|way| {
            let way = u32::try_from(way).unwrap_or(0);
            Cell::new(entries.read(first + way).unwrap_or_else(blank))
        });
        Self { ways }
    }

    fn way(&self, way: u32) -> &Cell<Entry<F>> {
        let [first, ..] = &self.ways;
        self.ways.get((way % WAYS) as usize).unwrap_or(first)
    }

    fn entry(&self, way: u32) -> Entry<F> {
        self.way(way).get()
    }

    fn change(&self, way: u32, change: impl FnOnce(&mut Entry<F>)) {
        let mut entry = self.entry(way);
        change(&mut entry);
        self.way(way).set(entry);
    }
}

impl<F: Family> Ways<F> for &CopiedSet<F> {
    fn tag(self, way: u32) -> Tag {
        Tag(self.entry(way).tag)
    }

    fn exchange(self, way: u32, expected: Tag, new: Tag) -> bool {
        let same = self.tag(way) == expected;
        if same {
            self.publish(way, new);
        }
        same
    }

    fn publish(self, way: u32, tag: Tag) {
        self.change(way, |entry| entry.tag = tag.0);
    }

    fn holds(self, way: u32, key: &Key<F>) -> bool {
        self.entry(way).key == *key
    }

    fn seen(self, way: u32) -> u32 {
        self.entry(way).seen
    }

    fn timeout(self, way: u32) -> u32 {
        self.entry(way).timeout
    }

    fn packets(self, way: u32) -> u32 {
        self.entry(way).packets
    }

    fn partner(self, way: u32) -> u32 {
        self.entry(way).partner
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
        self.change(way, |entry| {
            entry.seen = new.now;
            entry.key = new.key;
            entry.record = new.record;
            entry.packets = 1;
            entry.timeout = new.timeout;
            entry.partner = new.partner;
            entry.client = new.client;
        });
    }

    fn hint(self) -> bool {
        self.entry(0).hint != 0
    }

    fn set_hint(self) {
        self.change(0, |entry| entry.hint = 1);
    }

    fn set_partner(self, way: u32, partner: u32) {
        self.change(way, |entry| entry.partner = partner);
    }

    fn touch(self, way: u32, now: u32, timeout: u32) -> u32 {
        let packets = self.packets(way).wrapping_add(1);
        self.change(way, |entry| entry.packets = packets);
        self.touch_reply(way, now, timeout);
        packets
    }

    fn touch_reply(self, way: u32, now: u32, timeout: u32) {
        self.change(way, |entry| (entry.seen, entry.timeout) = (now, timeout));
    }

    fn set_client(self, way: u32, client: &Client) {
        self.change(way, |entry| entry.client = *client);
    }
}
