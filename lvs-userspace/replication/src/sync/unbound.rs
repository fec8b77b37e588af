//! Connections whose virtual service or real server is not here yet. They are kept until it comes, as IPVS
//! keeps them without a destination.

use std::collections::HashMap;
use std::net::SocketAddr;

use lvs_common::abi::{age, ticks};
use lvs_common::connection::Protocol;

use super::check::Checked;
use super::wire::Synced;

/// Kept at most: messages are not authenticated, and each could name others.
const MOST: usize = 65_536;
/// How often it is looked whether they can be bound.
const LOOK: u32 = ticks(1);

/// What a connection or template is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name {
    protocol: Option<Protocol>,
    mark: u32,
    client: SocketAddr,
    virtual_address: SocketAddr,
    template: bool,
}

impl Name {
    const fn new(synced: &Synced, checked: &Checked) -> Self {
        Self {
            protocol: checked.protocol,
            mark: checked.mark,
            client: synced.client,
            virtual_address: synced.virtual_address,
            template: checked.template,
        }
    }
}

#[derive(Clone, Debug)]
struct Kept {
    synced: Synced,
    checked: Checked,
    /// The tick at which it was told.
    told: u32,
    /// Ticks after which it is expired.
    timeout: u32,
}

/// What waits for its real server.
#[derive(Debug, Default)]
pub(super) struct Unbound {
    kept: HashMap<Name, Kept>,
    /// When it was looked last.
    looked: u32,
}

impl Unbound {
    /// Keeps what was told last of a connection, if there is room; `timeout` is in ticks.
    pub(super) fn keep(&mut self, synced: &Synced, checked: &Checked, timeout: u32, now: u32) {
        let name = Name::new(synced, checked);
        if self.kept.len() >= MOST && !self.kept.contains_key(&name) {
            return;
        }
        let kept = Kept {
            synced: synced.clone(),
            checked: *checked,
            told: now,
            timeout,
        };
        self.kept.insert(name, kept);
    }

    /// Something newer was told of a connection, which is bound.
    pub(super) fn forget(&mut self, synced: &Synced, checked: &Checked) {
        if !self.kept.is_empty() {
            self.kept.remove(&Name::new(synced, checked));
        }
    }

    /// Nobody is listened to any more.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether it is time to look what can be bound.
    pub(super) fn is_due(&self, now: u32) -> bool {
        !self.kept.is_empty() && age(now, self.looked) >= LOOK
    }

    /// Lets go of what is expired, and of what `bind` takes. It is given the time that is left, in ticks.
    pub(super) fn look(&mut self, now: u32, mut bind: impl FnMut(&Synced, &Checked, u32) -> bool) {
        self.looked = now;
        self.kept.retain(|_, kept| {
            let left = kept.timeout.checked_sub(age(now, kept.told));
            left.is_some_and(|left| !bind(&kept.synced, &kept.checked, left))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::check::check;
    use crate::sync::wire::tests::plain;

    const NOW: u32 = u32::MAX - ticks(5);

    fn told(unbound: &mut Unbound, synced: &Synced, now: u32) {
        let checked = check(synced).unwrap();
        unbound.keep(synced, &checked, ticks(60), now);
    }

    fn left(unbound: &mut Unbound, now: u32) -> Vec<(SocketAddr, u32)> {
        let mut all = Vec::new();
        unbound.look(now, |synced, _, left| {
            all.push((synced.server, left));
            false
        });
        all
    }

    #[test]
    fn what_was_told_last_waits_until_it_expires_or_is_bound() {
        let mut unbound = Unbound::default();
        assert!(!unbound.is_due(NOW));
        told(&mut unbound, &plain(), NOW);
        let mut moved = plain();
        moved.server.set_port(8081);
        let later = NOW.wrapping_add(ticks(10));
        told(&mut unbound, &moved, later);
        assert!(unbound.is_due(later));
        let now = NOW.wrapping_add(ticks(30));
        assert_eq!(left(&mut unbound, now), [(moved.server, ticks(40))]);
        assert!(!unbound.is_due(now), "not all the time");
        let end = NOW.wrapping_add(ticks(71));
        assert_eq!(left(&mut unbound, end), []);
        assert_eq!(unbound.len(), 0);

        told(&mut unbound, &plain(), NOW);
        unbound.forget(&moved, &check(&moved).unwrap());
        assert_eq!(unbound.len(), 0, "it is the same connection");
        told(&mut unbound, &plain(), NOW);
        unbound.look(NOW, |_, _, _| true);
        assert_eq!(unbound.len(), 0);
    }

    #[test]
    fn a_flood_takes_no_more_than_its_share() {
        let mut unbound = Unbound::default();
        let mut synced = plain();
        for host in 0..70_000_u32 {
            let client = (0x0a00_0000 + host).to_be_bytes();
            synced.client.set_ip(client.into());
            told(&mut unbound, &synced, NOW);
        }
        assert_eq!(unbound.len(), MOST);
        synced.client.set_ip([10, 0, 0, 0].into());
        synced.timeout = 1;
        told(&mut unbound, &synced, NOW.wrapping_add(ticks(1)));
        assert_eq!(
            unbound.len(),
            MOST,
            "what waits already is brought up to date"
        );
    }
}
