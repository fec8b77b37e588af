//! The data path's events about connections, for each transport that sends them to other directors.

use std::collections::{BTreeMap, VecDeque};
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lvs_api::sysctl::{self, Name};
use lvs_common::abi::{self, Config};
use lvs_common::connection::EntryId;
use lvs_dataplane::director;
use lvs_dataplane::kernel::Maps;
use parking_lot::{Mutex, MutexGuard};

/// Events that wait for one subscription at most.
const MOST: usize = 65_536;

/// Distributes the data path's events to all subscriptions; without any the data path makes none.
pub struct EventFeed {
    maps: Arc<Maps>,
    /// As `--sync-period` says.
    repeats: u64,
    subscriptions: Mutex<Subscriptions>,
}

/// Events of a connection that only goes on. They cost the packets of known connections something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interest {
    /// None.
    #[default]
    Changes,
    /// After each so many packets, as the operator says.
    Repeats,
}

#[derive(Default)]
struct Subscriptions {
    next: u64,
    queues: BTreeMap<u64, Queue>,
}

#[derive(Default)]
struct Queue {
    interest: Interest,
    events: VecDeque<EntryId>,
    lost: u64,
}

/// A share in the events, until this is dropped.
pub struct Subscription {
    feed: Arc<EventFeed>,
    number: u64,
}

impl EventFeed {
    /// Without subscriptions.
    pub fn new(maps: Arc<Maps>) -> Self {
        let config = maps.config.read(0);
        let feed = Self {
            repeats: config.map_or(0, |config| config.sync.repeats),
            maps,
            subscriptions: Mutex::default(),
        };
        feed.configure(&Subscriptions::default());
        feed
    }

    /// Subscribes to events from now on.
    pub fn subscribe(self: &Arc<Self>, interest: Interest) -> Subscription {
        let mut subscriptions = self.subscriptions();
        let number = subscriptions.next;
        subscriptions.next += 1;
        let queue = Queue {
            interest,
            ..Queue::default()
        };
        subscriptions.queues.insert(number, queue);
        self.configure(&subscriptions);
        Subscription {
            feed: Arc::clone(self),
            number,
        }
    }

    fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock()
    }

    /// Follows a change of the setting `sync_threshold`.
    pub fn follow_settings(&self) {
        self.configure(&self.subscriptions());
    }

    /// The period between repeats, as the setting `sync_threshold` has it or else an option.
    fn repeats(&self) -> u64 {
        let set = director::sysctl(&self.maps, Name::SyncThreshold);
        set.map_or(self.repeats, |pair| abi::Sync::every(sysctl::parts(pair).1))
    }

    /// Has the data path make the events that a subscription is interested in.
    fn configure(&self, subscriptions: &Subscriptions) {
        let mut all = subscriptions.queues.values();
        let repeats = all.any(|queue| queue.interest == Interest::Repeats);
        let config = &self.maps.config;
        let offset = offset_of!(Config, sync);
        if let Some(word) = config.double_word(0, offset + offset_of!(abi::Sync, repeats)) {
            word.store(if repeats { self.repeats() } else { 0 }, Ordering::Relaxed);
        }
        if let Some(word) = config.word(0, offset + offset_of!(abi::Sync, on)) {
            word.store((!subscriptions.queues.is_empty()).into(), Ordering::Relaxed);
        }
    }
}

impl Subscription {
    /// Removes and returns the next events, at most so many.
    pub fn drain(&self, most: usize) -> Vec<EntryId> {
        let mut subscriptions = self.feed.subscriptions();
        let events = self.feed.maps.events.drain(most);
        let events: Vec<_> = events.into_iter().filter_map(EntryId::from_bits).collect();
        for queue in subscriptions.queues.values_mut() {
            queue.add(&events);
        }
        let own = subscriptions.queues.get_mut(&self.number);
        own.map_or_else(Vec::new, |own| {
            let count = most.min(own.events.len());
            own.events.drain(..count).collect()
        })
    }

    /// Events that were lost: the data path's buffer was full, or too many waited here.
    pub fn lost(&self) -> u64 {
        let subscriptions = self.feed.subscriptions();
        let own = subscriptions.queues.get(&self.number);
        self.feed.maps.events.lost() + own.map_or(0, |own| own.lost)
    }
}

impl Queue {
    fn add(&mut self, events: &[EntryId]) {
        let room = MOST.saturating_sub(self.events.len());
        let kept = events.len().min(room);
        self.events.extend(events.iter().take(kept));
        self.lost += (events.len() - kept) as u64;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut subscriptions = self.feed.subscriptions();
        subscriptions.queues.remove(&self.number);
        self.feed.configure(&subscriptions);
    }
}

#[cfg(test)]
mod tests {
    use lvs_common::family::V4;

    use super::*;

    #[test]
    fn a_slow_subscription_costs_no_more_than_its_share() {
        let event = EntryId::new::<V4>;
        let mut queue = Queue::default();
        queue.add(&vec![event(1); MOST - 1]);
        queue.add(&[2, 3, 4].map(event));
        assert_eq!((queue.events.len(), queue.lost), (MOST, 2));
        assert_eq!(queue.events.back(), Some(&event(2)));
    }
}
