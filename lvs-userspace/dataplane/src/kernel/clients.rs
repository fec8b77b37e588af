//! The clients whose connections are limited, as mapped memory: counted by whoever removes a connection, and by the
//! sweep.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lvs_common::abi::{CLIENT_WAYS, ClientSet, Filter, LimitedClient, Plan};
use lvs_common::filter::clients::{ClientKey, ClientWays, Clients, Paced};
use lvs_common::secrets::Secrets;

use super::mapping::Mapping;

/// The table of clients, with what tells them apart.
pub struct ClientTable {
    pub(super) sets: Mapping<ClientSet>,
    pub(super) active_plans: Mapping<u32>,
    pub(super) plans: Mapping<Plan>,
    pub(super) filters: Mapping<Filter>,
    /// Of the tables' hash.
    pub(super) secrets: [u64; 16],
}

impl ClientTable {
    /// A copy of a set.
    pub fn set(&self, number: u32) -> Option<ClientSet> {
        self.sets.read(number)
    }

    /// The clients there are, with their sets and ways.
    pub fn all(&self) -> impl Iterator<Item = (ClientSlot<'_>, LimitedClient)> {
        (0..self.sets.len())
            .filter_map(move |number| Some((number, self.sets.read(number)?)))
            .flat_map(move |(number, set)| {
                let taken = (0..CLIENT_WAYS).zip(set.ways);
                taken
                    .filter(move |(way, _)| set.prints >> (16 * way) & 0xffff != 0)
                    .map(move |(way, client)| {
                        let set = MappedSet {
                            table: self,
                            number,
                        };
                        (ClientSlot { set, way }, client)
                    })
            })
    }
}

/// A way of the table.
#[derive(Clone, Copy)]
pub struct ClientSlot<'a> {
    set: MappedSet<'a>,
    way: u32,
}

impl ClientSlot<'_> {
    /// Adds to the open connections.
    pub fn count(self, change: i32) {
        self.set.count(self.way, change.cast_unsigned());
    }
}

impl Secrets for &ClientTable {
    fn secret(self, index: usize) -> u64 {
        self.secrets.get(index).copied().unwrap_or(0)
    }
}

impl<'a> Clients for &'a ClientTable {
    type ClientSet = MappedSet<'a>;

    fn client_sets(self) -> u32 {
        self.sets.len()
    }

    fn client_set(self, number: u32) -> Option<MappedSet<'a>> {
        (number < self.sets.len()).then_some(MappedSet {
            table: self,
            number,
        })
    }

    fn client_mask(self, service: u32) -> Option<[u64; 2]> {
        let plan = self.plans.read(self.active_plans.read(service)?)?;
        let filter = self.filters.read(plan.filter)?;
        (plan.filter != 0).then_some(filter.mask)
    }
}

/// A set of clients.
#[derive(Clone, Copy)]
pub struct MappedSet<'a> {
    table: &'a ClientTable,
    number: u32,
}

impl MappedSet<'_> {
    fn client(self, way: u32) -> LimitedClient {
        let set = self.table.sets.read(self.number);
        let client = set.and_then(|set| set.ways.get(way as usize).copied());
        client.unwrap_or_default()
    }

    fn word(&self, way: u32, offset: usize) -> Option<&AtomicU32> {
        self.table.sets.word(self.number, place(way) + offset)
    }

    fn double_word(&self, offset: usize) -> Option<&AtomicU64> {
        self.table.sets.double_word(self.number, offset)
    }
}

/// Offset of a way in its set.
const fn place(way: u32) -> usize {
    offset_of!(ClientSet, ways) + (way % CLIENT_WAYS) as usize * size_of::<LimitedClient>()
}

const fn paid_offset(what: Paced) -> usize {
    match what {
        Paced::Opening => offset_of!(LimitedClient, opening),
        Paced::Sending => offset_of!(LimitedClient, sending),
    }
}

fn exchange(word: Option<&AtomicU64>, expected: u64, new: u64) -> bool {
    word.is_some_and(|word| {
        word.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    })
}

impl ClientWays for MappedSet<'_> {
    fn prints(self) -> u64 {
        let word = self.double_word(offset_of!(ClientSet, prints));
        word.map_or(0, |word| word.load(Ordering::SeqCst))
    }

    fn exchange_prints(self, expected: u64, new: u64) -> bool {
        exchange(
            self.double_word(offset_of!(ClientSet, prints)),
            expected,
            new,
        )
    }

    fn holds(self, way: u32, key: &ClientKey) -> bool {
        let client = self.client(way);
        (client.address, client.service) == (key.address, key.service)
    }

    fn write(self, way: u32, client: &LimitedClient) {
        let words: [u32; size_of::<LimitedClient>() / 4] = zerocopy::transmute!(*client);
        for (number, value) in words.into_iter().enumerate() {
            if let Some(word) = self.word(way, 4 * number) {
                word.store(value, Ordering::Relaxed);
            }
        }
    }

    fn seen(self, way: u32) -> u32 {
        self.client(way).seen
    }

    fn see(self, way: u32, now: u32) {
        if let Some(word) = self.word(way, offset_of!(LimitedClient, seen)) {
            word.store(now, Ordering::Relaxed);
        }
    }

    fn connections(self, way: u32) -> i32 {
        self.client(way).connections.cast_signed()
    }

    fn count(self, way: u32, change: u32) {
        if let Some(word) = self.word(way, offset_of!(LimitedClient, connections)) {
            word.fetch_add(change, Ordering::Relaxed);
        }
    }

    fn paid(self, way: u32, what: Paced) -> u64 {
        let word = self.double_word(place(way) + paid_offset(what));
        word.map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn exchange_paid(self, way: u32, what: Paced, expected: u64, new: u64) -> bool {
        let offset = place(way) + paid_offset(what);
        exchange(self.double_word(offset), expected, new)
    }
}
