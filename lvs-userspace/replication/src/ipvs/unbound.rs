//! Connections and templates whose virtual service or real server is not configured here yet. They are kept
//! until it is, as IPVS keeps them without a destination.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use lvs_common::abi::{age, ticks};
use lvs_common::connection::Protocol;

use super::validate::ValidEntry;

/// Entries that are kept at most: messages are not authenticated, and each could name others.
const MOST: usize = 65_536;
/// Ticks from one attempt to bind them to the next.
const RETRY: u32 = ticks(1);

/// Identifies a connection or template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    protocol: Option<Protocol>,
    mark: u32,
    client: SocketAddr,
    virtual_address: SocketAddr,
    template: bool,
    call_id: Option<Arc<[u8]>>,
}

impl Name {
    fn new(entry: &ValidEntry) -> Self {
        Self {
            protocol: entry.replica.protocol,
            mark: entry.mark,
            client: entry.replica.client,
            virtual_address: entry.replica.virtual_address,
            template: entry.replica.template,
            call_id: entry.call_id.clone(),
        }
    }
}

#[derive(Clone, Debug)]
struct Kept {
    entry: ValidEntry,
    /// The tick at which it was received.
    received: u32,
    /// Ticks after which it is expired.
    timeout: u32,
}

/// Entries that wait for their real server.
#[derive(Debug, Default)]
pub(super) struct Unbound {
    kept: HashMap<Name, Kept>,
    /// The tick of the last attempt to bind them.
    tried: u32,
}

impl Unbound {
    /// Keeps the latest of a connection, if there is room; `timeout` is in ticks.
    pub(super) fn keep(&mut self, entry: &ValidEntry, timeout: u32, now: u32) {
        let name = Name::new(entry);
        if self.kept.len() >= MOST && !self.kept.contains_key(&name) {
            return;
        }
        let kept = Kept {
            entry: entry.clone(),
            received: now,
            timeout,
        };
        self.kept.insert(name, kept);
    }

    /// Removes what an entry that is bound is newer than.
    pub(super) fn forget(&mut self, entry: &ValidEntry) {
        if !self.kept.is_empty() {
            self.kept.remove(&Name::new(entry));
        }
    }

    /// Removes all.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// True if another attempt to bind them is due.
    pub(super) fn is_due(&self, now: u32) -> bool {
        !self.kept.is_empty() && age(now, self.tried) >= RETRY
    }

    /// Removes what is expired, and what `bind` accepts, which is given the ticks that are left.
    pub(super) fn retry(&mut self, now: u32, mut bind: impl FnMut(&ValidEntry, u32) -> bool) {
        self.tried = now;
        self.kept.retain(|_, kept| {
            let left = kept.timeout.checked_sub(age(now, kept.received));
            left.is_some_and(|left| !bind(&kept.entry, left))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipvs::validate::validate;
    use crate::ipvs::wire::SyncEntry;
    use crate::ipvs::wire::tests::plain;

    const NOW: u32 = u32::MAX - ticks(5);

    fn receive(unbound: &mut Unbound, entry: &SyncEntry, now: u32) {
        unbound.keep(&validate(entry).unwrap(), ticks(60), now);
    }

    fn left(unbound: &mut Unbound, now: u32) -> Vec<(SocketAddr, u32)> {
        let mut all = Vec::new();
        unbound.retry(now, |entry, left| {
            all.push((entry.server, left));
            false
        });
        all
    }

    #[test]
    fn the_latest_entry_waits_until_it_expires_or_is_bound() {
        let mut unbound = Unbound::default();
        assert!(!unbound.is_due(NOW));
        receive(&mut unbound, &plain(), NOW);
        let mut moved = plain();
        moved.server.set_port(8081);
        let later = NOW.wrapping_add(ticks(10));
        receive(&mut unbound, &moved, later);
        assert!(unbound.is_due(later));
        let now = NOW.wrapping_add(ticks(30));
        assert_eq!(left(&mut unbound, now), [(moved.server, ticks(40))]);
        assert!(!unbound.is_due(now), "not all the time");
        let end = NOW.wrapping_add(ticks(71));
        assert_eq!(left(&mut unbound, end), []);
        assert_eq!(unbound.len(), 0);

        receive(&mut unbound, &plain(), NOW);
        unbound.forget(&validate(&moved).unwrap());
        assert_eq!(unbound.len(), 0, "it is the same connection");
        receive(&mut unbound, &plain(), NOW);
        unbound.retry(NOW, |_, _| true);
        assert_eq!(unbound.len(), 0);
    }

    #[test]
    fn a_flood_takes_no_more_than_its_share() {
        let mut unbound = Unbound::default();
        let mut entry = plain();
        for host in 0..70_000_u32 {
            let client = (0x0a00_0000 + host).to_be_bytes();
            entry.client.set_ip(client.into());
            receive(&mut unbound, &entry, NOW);
        }
        assert_eq!(unbound.len(), MOST);
        entry.client.set_ip([10, 0, 0, 0].into());
        entry.timeout = 1;
        receive(&mut unbound, &entry, NOW.wrapping_add(ticks(1)));
        assert_eq!(
            unbound.len(),
            MOST,
            "what waits already is brought up to date"
        );
    }
}
