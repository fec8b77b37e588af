//! A set of limited clients in plain memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

use lvs_common::abi::{Address, CLIENT_WAYS, LimitedClient};
use lvs_common::filter::clients::{ClientKey, ClientWays, Paced};

#[derive(Default)]
struct Way {
    identity: Mutex<(Address, u32)>,
    seen: AtomicU32,
    connections: AtomicI32,
    opening: AtomicU64,
    sending: AtomicU64,
}

impl Way {
    const fn paid(&self, what: Paced) -> &AtomicU64 {
        match what {
            Paced::Opening => &self.opening,
            Paced::Sending => &self.sending,
        }
    }
}

pub(crate) struct ClientSet {
    prints: AtomicU64,
    ways: [Way; CLIENT_WAYS as usize],
}

impl ClientSet {
    pub(crate) fn new() -> Self {
        Self {
            prints: AtomicU64::new(0),
            ways: Default::default(),
        }
    }
}

impl ClientWays for &ClientSet {
    fn prints(self) -> u64 {
        self.prints.load(SeqCst)
    }
    fn exchange_prints(self, expected: u64, new: u64) -> bool {
        let exchanged = self.prints.compare_exchange(expected, new, SeqCst, SeqCst);
        exchanged.is_ok()
    }
    fn holds(self, way: u32, key: &ClientKey) -> bool {
        let identity = self.ways[way as usize].identity.lock();
        *identity.expect("no panic while held") == (key.address, key.service)
    }
    fn write(self, way: u32, client: &LimitedClient) {
        let way = &self.ways[way as usize];
        *way.identity.lock().expect("no panic while held") = (client.address, client.service);
        way.seen.store(client.seen, SeqCst);
        way.connections
            .store(client.connections.cast_signed(), SeqCst);
        way.opening.store(client.opening, SeqCst);
        way.sending.store(client.sending, SeqCst);
    }
    fn seen(self, way: u32) -> u32 {
        self.ways[way as usize].seen.load(SeqCst)
    }
    fn see(self, way: u32, now: u32) {
        self.ways[way as usize].seen.store(now, SeqCst);
    }
    fn connections(self, way: u32) -> i32 {
        self.ways[way as usize].connections.load(SeqCst)
    }
    fn count(self, way: u32, change: u32) {
        self.ways[way as usize]
            .connections
            .fetch_add(change.cast_signed(), SeqCst);
    }
    fn paid(self, way: u32, what: Paced) -> u64 {
        self.ways[way as usize].paid(what).load(SeqCst)
    }
    fn exchange_paid(self, way: u32, what: Paced, expected: u64, new: u64) -> bool {
        let paid = self.ways[way as usize].paid(what);
        paid.compare_exchange(expected, new, SeqCst, SeqCst).is_ok()
    }
}
