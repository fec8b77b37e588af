//! What lvsd finds in its tables when it starts, and peers had told to the one before.
//!
//! Which peers these were is kept beside the tables. Once each of them has told everything again, what none
//! of them told has ended there meanwhile, and ends here. If one of them does not return in time, it is as if
//! it had just left: what nobody told again is this director's own, and only from then on told to others, who
//! might otherwise be told what they have ended themselves.

use std::collections::BTreeSet;
use std::mem::take;
use std::time::Duration;

use lvs_common::abi::{EVENT_IPV6, event};
use lvs_common::connection::Tag;
use lvs_common::family::{Family, V4, V6};

use super::hold;
use super::message::Instance;
use super::mirror::Held;
use super::take::Outcome;
use super::view::View;
use lvs_dataplane::kernel::{Entries, Mapping};

/// How long peers have to return and to tell everything: dialling takes less than a second, a million
/// connections another one.
pub(super) const RETURN: Duration = Duration::from_secs(10);

/// What was found and not told again yet.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Tags as they were found, by the own number; of a way that is no concern of this: zero.
    unclaimed4: Vec<Tag>,
    unclaimed6: Vec<Tag>,
    /// Who may tell it again.
    waiting: BTreeSet<Instance>,
    /// Who tells at the moment.
    telling: BTreeSet<Instance>,
}

impl Found {
    /// Looks through the tables of a director that these peers told.
    pub(super) fn look(maps: View<'_>, tellers: BTreeSet<Instance>) -> Self {
        let mut found = Self {
            unclaimed4: unclaimed(maps.connections4),
            unclaimed6: unclaimed(maps.connections6),
            waiting: tellers,
            telling: BTreeSet::new(),
        };
        if found.waiting.is_empty() {
            found.adopt(maps);
        }
        found
    }

    /// A peer begins to tell: should this lvsd end, the next one has to know.
    pub(super) fn begins(&mut self, tellers: &Mapping<u64>, peer: Instance) {
        self.telling.insert(peer);
        remember(tellers, peer);
    }

    /// It is gone, and nothing that it told is its own any more.
    pub(super) fn ends(&mut self, tellers: &Mapping<u64>, peer: Instance) {
        self.telling.remove(&peer);
        if !self.waiting.contains(&peer) {
            forget(tellers, peer);
        }
    }

    /// A peer told something.
    pub(super) fn hear(&mut self, maps: View<'_>, from: Instance, outcome: &Outcome) {
        if self.waiting.is_empty() {
            return;
        }
        for id in &outcome.taken {
            let (unclaimed, number) = match id & EVENT_IPV6 {
                0 => (&mut self.unclaimed4, *id),
                flag => (&mut self.unclaimed6, id ^ flag),
            };
            if let Some(tag) = unclaimed.get_mut(number.wrapping_sub(1) as usize) {
                *tag = Tag::default();
            }
        }
        if outcome.joined && self.waiting.remove(&from) && self.waiting.is_empty() {
            for held in self.take() {
                hold::end(maps, held, 0);
            }
        }
    }

    /// Nobody is waited for any longer. Returns who was.
    pub(super) fn give_up(&mut self, maps: View<'_>, tellers: &Mapping<u64>) -> BTreeSet<Instance> {
        self.adopt(maps);
        let waiting = take(&mut self.waiting);
        for peer in waiting.difference(&self.telling) {
            forget(tellers, *peer);
        }
        waiting
    }

    fn adopt(&mut self, maps: View<'_>) {
        for held in self.take() {
            hold::adopt(maps, held);
        }
    }

    fn take(&mut self) -> impl Iterator<Item = Held> + use<> {
        let held = |family| {
            move |(number, tag): (u32, Tag)| Held {
                id: event(family, number),
                tag,
                ..Held::default()
            }
        };
        let held4 = (1..).zip(take(&mut self.unclaimed4)).map(held(V4::NUMBER));
        let held6 = (1..).zip(take(&mut self.unclaimed6)).map(held(V6::NUMBER));
        held4.chain(held6).filter(|held| held.tag.is_live())
    }
}

/// The tag of each way that a peer told, and zero for the others.
fn unclaimed<F: Family>(entries: &Entries<F>) -> Vec<Tag> {
    let ways = 0..entries.len();
    ways.map(|way| hold::told(entries, way).unwrap_or_default())
        .collect()
}

fn remember(tellers: &Mapping<u64>, peer: Instance) {
    let place = |number| (0..tellers.len()).find(|&index| tellers.read(index) == Some(number));
    // Were there more of them, what the last ones told would end too early, until they tell it again.
    if place(peer.0).is_none()
        && let Some(free) = place(0)
    {
        tellers.write(free, peer.0);
    }
}

fn forget(tellers: &Mapping<u64>, peer: Instance) {
    for index in 0..tellers.len() {
        if tellers.read(index) == Some(peer.0) {
            tellers.write(index, 0);
        }
    }
}

/// Peers that told the lvsd before when it ended.
pub(super) fn remembered(tellers: &Mapping<u64>) -> BTreeSet<Instance> {
    let all = (0..tellers.len()).filter_map(|index| tellers.read(index));
    all.filter(|&number| number != 0).map(Instance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_remembered_once_until_they_are_forgotten() {
        let tellers = Mapping::zeroed(2);
        for number in [7, 7, 8, 9] {
            remember(&tellers, Instance(number));
        }
        assert_eq!(remembered(&tellers), [Instance(7), Instance(8)].into());
        forget(&tellers, Instance(7));
        forget(&tellers, Instance(9));
        assert_eq!(remembered(&tellers), [Instance(8)].into());
    }
}
