//! Copies of sets of limited clients, from which a rehearsed packet may spend what it likes.

use std::cell::Cell;

use lvs_common::abi::{CLIENT_WAYS, ClientSet, LimitedClient};
use lvs_common::filter::clients::{ClientKey, ClientWays, Paced};

/// A copy of a set.
pub(super) struct CopiedClients(Cell<ClientSet>);

impl CopiedClients {
    pub(super) const fn of(set: ClientSet) -> Self {
        Self(Cell::new(set))
    }

    fn client(&self, way: u32) -> LimitedClient {
        let ways = self.0.get().ways;
        ways.get((way % CLIENT_WAYS) as usize)
            .copied()
            .unwrap_or_default()
    }

    fn change(&self, way: u32, change: impl FnOnce(&mut LimitedClient)) {
        let mut set = self.0.get();
        if let Some(client) = set.ways.get_mut((way % CLIENT_WAYS) as usize) {
            change(client);
        }
        self.0.set(set);
    }
}

impl ClientWays for &CopiedClients {
    fn prints(self) -> u64 {
        self.0.get().prints
    }

    fn exchange_prints(self, expected: u64, new: u64) -> bool {
        let mut set = self.0.get();
        let same = set.prints == expected;
        if same {
            set.prints = new;
            self.0.set(set);
        }
        same
    }

    fn holds(self, way: u32, key: &ClientKey) -> bool {
        let client = self.client(way);
        (client.address, client.service) == (key.address, key.service)
    }

    fn write(self, way: u32, client: &LimitedClient) {
        self.change(way, |there| *there = *client);
    }

    fn seen(self, way: u32) -> u32 {
        self.client(way).seen
    }

    fn see(self, way: u32, now: u32) {
        self.change(way, |client| client.seen = now);
    }

    fn connections(self, way: u32) -> i32 {
        self.client(way).connections.cast_signed()
    }

    fn count(self, way: u32, change: u32) {
        self.change(way, |client| {
            client.connections = client.connections.wrapping_add(change);
        });
    }

    fn paid(self, way: u32, what: Paced) -> u64 {
        let client = self.client(way);
        match what {
            Paced::Opening => client.opening,
            Paced::Sending => client.sending,
        }
    }

    fn exchange_paid(self, way: u32, what: Paced, expected: u64, new: u64) -> bool {
        let same = self.paid(way, what) == expected;
        if same {
            self.change(way, |client| match what {
                Paced::Opening => client.opening = new,
                Paced::Sending => client.sending = new,
            });
        }
        same
    }
}
