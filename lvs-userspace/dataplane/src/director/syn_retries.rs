//! Repeated and refused SYNs, the sign of a server that does not answer, as the program counts them.

use std::sync::Arc;

use crate::kernel::Maps;

/// Repeated SYNs of each server at the last look.
pub(super) struct SynRetryCounters {
    maps: Arc<Maps>,
    seen: Vec<u32>,
}

impl SynRetryCounters {
    pub(super) const fn new(maps: Arc<Maps>) -> Self {
        Self {
            maps,
            seen: Vec::new(),
        }
    }

    /// Starts over at zero, for another server.
    pub(super) fn zero(&mut self, server: u32) {
        self.maps.syn_retries.write(server, 0);
        self.skip(server);
    }

    /// Passes over those of a server until now.
    pub(super) fn skip(&mut self, server: u32) {
        let place = server as usize;
        if self.seen.len() <= place {
            self.seen.resize(place + 1, 0);
        }
        if let (Some(seen), Some(now)) =
            (self.seen.get_mut(place), self.maps.syn_retries.read(server))
        {
            *seen = now;
        }
    }

    /// Servers with SYNs repeated since the last call, and how many. Of a server without any it looks at two
    /// counters, which lie beside those of its neighbours.
    pub(super) fn since_last(&mut self) -> impl Iterator<Item = (u32, u32)> {
        let maps = &self.maps;
        (0..).zip(&mut self.seen).filter_map(|(server, seen)| {
            let now = maps.syn_retries.read(server).unwrap_or(0);
            let syns = now.wrapping_sub(*seen);
            *seen = now;
            (syns != 0).then_some((server, syns))
        })
    }
}
