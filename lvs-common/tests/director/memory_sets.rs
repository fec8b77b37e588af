//! A connection table in plain memory. Tags are atomic words as in the map; what else a way holds sits
//! behind locks that are held for one access only, so that readers still see ways change hands
//! between two reads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use lvs_common::abi::WAYS;
use lvs_common::connection::table::{New, Ways};
use lvs_common::connection::{Client, Key, Record, Tag};
use lvs_common::family::Family;

#[derive(Clone, Copy)]
struct Content<F: Family> {
    key: Key<F>,
    record: Record,
    client: Client,
}

struct Way<F: Family> {
    tag: AtomicU32,
    seen: AtomicU32,
    timeout: AtomicU32,
    packets: AtomicU32,
    partner: AtomicU32,
    content: Mutex<Option<Content<F>>>,
}

pub(crate) struct Set<F: Family> {
    ways: [Way<F>; WAYS as usize],
    hint: AtomicBool,
}

impl<F: Family> Set<F> {
    pub(crate) fn new() -> Self {
        Self {
            ways: std::array::from_fn(|_| Way {
                tag: AtomicU32::new(0),
                seen: AtomicU32::new(0),
                timeout: AtomicU32::new(0),
                packets: AtomicU32::new(0),
                partner: AtomicU32::new(0),
                content: Mutex::new(None),
            }),
            hint: AtomicBool::new(false),
        }
    }

    fn way(&self, way: u32) -> &Way<F> {
        &self.ways[way as usize & (WAYS as usize - 1)]
    }

    /// Tag, key and record of every way that is not free.
    pub(crate) fn taken(&self) -> impl Iterator<Item = (Tag, Key<F>, Record)> + '_ {
        (0..WAYS).filter_map(|way| {
            let tag = self.tag(way);
            (!tag.is_free()).then(|| (tag, self.key(way), self.record(way)))
        })
    }

    fn content(&self, way: u32) -> Content<F> {
        let content = *self.way(way).content.lock().expect("no panic while held");
        content.unwrap_or_else(blank)
    }
}

/// What a map holds before anything was written.
fn blank<F: Family>() -> Content<F> {
    let address = F::narrow(&[0; 16]);
    Content {
        key: Key {
            source: address,
            destination: address,
            ports: super::memory::ports(0, 0),
            protocol: 0,
            kind: 0,
        },
        record: Record::BLANK,
        client: Client {
            ..Client::default()
        },
    }
}

impl<F: Family> Ways<F> for &Set<F> {
    fn tag(self, way: u32) -> Tag {
        Tag(self.way(way).tag.load(SeqCst))
    }
    fn exchange(self, way: u32, expected: Tag, new: Tag) -> bool {
        let tag = &self.way(way).tag;
        tag.compare_exchange(expected.0, new.0, SeqCst, SeqCst)
            .is_ok()
    }
    fn publish(self, way: u32, tag: Tag) {
        let before = self.way(way).tag.swap(tag.0, SeqCst);
        assert!(
            Tag(before).is_busy(),
            "published over a way of somebody else"
        );
    }
    fn holds(self, way: u32, key: &Key<F>) -> bool {
        self.content(way).key == *key
    }
    fn seen(self, way: u32) -> u32 {
        self.way(way).seen.load(SeqCst)
    }
    fn timeout(self, way: u32) -> u32 {
        self.way(way).timeout.load(SeqCst)
    }
    fn packets(self, way: u32) -> u32 {
        self.way(way).packets.load(SeqCst)
    }
    fn partner(self, way: u32) -> u32 {
        self.way(way).partner.load(SeqCst)
    }
    fn key(self, way: u32) -> Key<F> {
        self.content(way).key
    }
    fn record(self, way: u32) -> Record {
        self.content(way).record
    }
    fn client(self, way: u32) -> Client {
        self.content(way).client
    }
    fn write(self, way: u32, new: &New<F>) {
        assert!(self.tag(way).is_busy(), "written without a claim");
        let to = self.way(way);
        to.seen.store(new.now, SeqCst);
        to.timeout.store(new.timeout, SeqCst);
        to.packets.store(1, SeqCst);
        to.partner.store(new.partner, SeqCst);
        *to.content.lock().expect("no panic while held") = Some(Content {
            key: new.key,
            record: new.record,
            client: new.client,
        });
    }
    fn hint(self) -> bool {
        self.hint.load(SeqCst)
    }
    fn set_hint(self) {
        self.hint.store(true, SeqCst);
    }
    fn set_partner(self, way: u32, partner: u32) {
        self.way(way).partner.store(partner, SeqCst);
    }
    fn touch(self, way: u32, now: u32, timeout: u32) -> u32 {
        let before = self.way(way).packets.fetch_add(1, SeqCst);
        self.touch_reply(way, now, timeout);
        before.wrapping_add(1)
    }
    fn touch_reply(self, way: u32, now: u32, timeout: u32) {
        self.way(way).seen.store(now, SeqCst);
        self.way(way).timeout.store(timeout, SeqCst);
    }
    fn set_client(self, way: u32, client: &Client) {
        let mut content = self.way(way).content.lock().expect("no panic while held");
        if let Some(content) = &mut *content {
            content.client = *client;
        }
    }
}
