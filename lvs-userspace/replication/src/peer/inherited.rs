//! Replicas that lvsd finds in its tables when it starts: peers had sent them to the lvsd before.
//!
//! These peers are kept beside the tables. Once each of them has sent everything again, replicas that none of
//! them sent have ended there meanwhile, and are removed here. If one of them does not return in time, it is
//! as if it had just left: what nobody sent again is this director's own, and only from then on sent to
//! others, who might otherwise be sent what they have removed themselves.

use std::collections::BTreeSet;
use std::mem::take;
use std::time::Duration;

use lvs_common::connection::{EntryId, Tag};
use lvs_common::family::PerFamily;
use lvs_dataplane::kernel::Mapping;

use super::message::Instance;
use super::ownership;
use super::receiver::Outcome;
use super::replica_index::LocalEntry;
use super::tables::Tables;
use crate::entries::Entries;

/// Time in which peers have to return and to send everything: dialling takes less than a second, a million
/// connections another one.
pub(super) const RETURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Replicas that were found and not sent again yet.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    /// Tags of the replicas as they were found, by the own number; zero for all other entries.
    unclaimed: PerFamily<Vec<Tag>>,
    /// Peers that may send them again.
    awaited: BTreeSet<Instance>,
    /// Peers in a session.
    connected: BTreeSet<Instance>,
}

impl Inherited {
    /// Collects the replicas in the tables of a director that these peers sent to.
    pub(super) fn collect(tables: Tables<'_>, senders: BTreeSet<Instance>) -> Self {
        let mut inherited = Self {
            unclaimed: unclaimed(tables.entries),
            awaited: senders,
            connected: BTreeSet::new(),
        };
        if inherited.awaited.is_empty() {
            inherited.adopt(tables);
        }
        inherited
    }

    /// A session with a peer begins: should this lvsd end, the next one has to know.
    pub(super) fn session_begins(&mut self, senders: &Mapping<u64>, peer: Instance) {
        self.connected.insert(peer);
        remember(senders, peer);
    }

    /// A session ended, and this director has adopted its replicas.
    pub(super) fn session_ended(&mut self, senders: &Mapping<u64>, peer: Instance) {
        self.connected.remove(&peer);
        if !self.awaited.contains(&peer) {
            forget(senders, peer);
        }
    }

    /// Notes what a peer sent again.
    pub(super) fn note(&mut self, tables: Tables<'_>, from: Instance, outcome: &Outcome) {
        if self.awaited.is_empty() {
            return;
        }
        for id in &outcome.applied {
            let unclaimed = self.unclaimed.of_mut(id.family());
            if let Some(tag) = unclaimed.get_mut(id.index() as usize) {
                *tag = Tag::default();
            }
        }
        if outcome.joined && self.awaited.remove(&from) && self.awaited.is_empty() {
            for entry in self.remove_unclaimed(tables) {
                ownership::remove(tables, entry, 0);
            }
        }
    }

    /// Stops waiting. Returns the peers that did not return.
    pub(super) fn expire(
        &mut self,
        tables: Tables<'_>,
        senders: &Mapping<u64>,
    ) -> BTreeSet<Instance> {
        self.adopt(tables);
        let awaited = take(&mut self.awaited);
        for peer in awaited.difference(&self.connected) {
            forget(senders, *peer);
        }
        awaited
    }

    fn adopt(&mut self, tables: Tables<'_>) {
        for entry in self.remove_unclaimed(tables) {
            ownership::adopt(tables, entry);
        }
    }

    fn remove_unclaimed(&mut self, tables: Tables<'_>) -> impl Iterator<Item = LocalEntry> + use<> {
        let unclaimed = take(&mut self.unclaimed);
        let sizes = tables.entries.sizes();
        let places = (0..).map_while(move |place| EntryId::at(place, sizes));
        places.filter_map(move |id| {
            let tag = *unclaimed.of(id.family()).get(id.index() as usize)?;
            tag.is_live().then_some(LocalEntry {
                id,
                tag,
                displaced: false,
            })
        })
    }
}

/// The tag of each replica, and zero for other entries.
fn unclaimed(entries: Entries<'_>) -> PerFamily<Vec<Tag>> {
    let mut all = PerFamily::<Vec<Tag>>::default();
    for id in entries.ids() {
        all.of_mut(id.family())
            .push(replica(entries, id).unwrap_or_default());
    }
    all
}

/// The tag of an entry that holds a replica.
pub(super) fn replica(entries: Entries<'_>, id: EntryId) -> Option<Tag> {
    let tag = entries.tag(id).filter(|tag| tag.is_live())?;
    (entries.packets(id)? == 0).then_some(tag)
}

fn remember(senders: &Mapping<u64>, peer: Instance) {
    let place = |number| (0..senders.len()).find(|&index| senders.read(index) == Some(number));
    // Were there more of them, replicas of the last ones would be removed too early, until they send them
    // again.
    if place(peer.0).is_none()
        && let Some(free) = place(0)
    {
        senders.write(free, peer.0);
    }
}

fn forget(senders: &Mapping<u64>, peer: Instance) {
    for index in 0..senders.len() {
        if senders.read(index) == Some(peer.0) {
            senders.write(index, 0);
        }
    }
}

/// Peers that were in a session with the lvsd before when it ended.
pub(super) fn remembered(senders: &Mapping<u64>) -> BTreeSet<Instance> {
    let all = (0..senders.len()).filter_map(|index| senders.read(index));
    all.filter(|&number| number != 0).map(Instance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_remembered_once_until_they_are_forgotten() {
        let senders = Mapping::zeroed(2);
        for number in [7, 7, 8, 9] {
            remember(&senders, Instance(number));
        }
        assert_eq!(remembered(&senders), [Instance(7), Instance(8)].into());
        forget(&senders, Instance(7));
        forget(&senders, Instance(9));
        assert_eq!(remembered(&senders), [Instance(8)].into());
    }
}
