//! What the program tells about connections, for everybody who tells other directors of them.

use std::collections::{BTreeMap, VecDeque};
use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lvs_common::abi::{self, Config};

use crate::kernel::Maps;

/// Events that wait for one listener at most.
const MOST: usize = 65_536;

/// Hands the program's events to each of those who listen, and has it tell nothing while nobody does.
pub struct Feed {
    maps: Arc<Maps>,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<u32>,
    lost: u64,
}

/// Somebody who listens, until this is dropped.
pub struct Listener {
    feed: Arc<Feed>,
    number: u64,
}

impl Feed {
    /// Nobody listens yet.
    pub fn new(maps: Arc<Maps>) -> Self {
        let feed = Self {
            maps,
            listeners: Mutex::default(),
        };
        feed.switch(false);
        feed
    }

    /// From now on somebody listens.
    pub fn listen(self: &Arc<Self>) -> Listener {
        let mut listeners = self.listeners();
        let number = listeners.next;
        listeners.next += 1;
        listeners.waiting.insert(number, Waiting::default());
        self.switch(true);
        Listener {
            feed: Arc::clone(self),
            number,
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the program tell about connections, or not.
    fn switch(&self, on: bool) {
        let offset = offset_of!(Config, sync) + offset_of!(abi::Sync, on);
        if let Some(word) = self.maps.config.word(0, offset) {
            word.store(on.into(), Ordering::Relaxed);
        }
    }
}

impl Listener {
    /// Takes at most so many events.
    pub fn take(&self, most: usize) -> Vec<u32> {
        let mut listeners = self.feed.listeners();
        let events = self.feed.maps.events.drain(most);
        for waiting in listeners.waiting.values_mut() {
            waiting.add(&events);
        }
        let own = listeners.waiting.get_mut(&self.number);
        own.map_or_else(Vec::new, |own| {
            let count = most.min(own.events.len());
            own.events.drain(..count).collect()
        })
    }

    /// Events that this listener will not hear of: the program's buffer was full, or too many waited here.
    pub fn lost(&self) -> u64 {
        let listeners = self.feed.listeners();
        let own = listeners.waiting.get(&self.number);
        self.feed.maps.events.lost() + own.map_or(0, |own| own.lost)
    }
}

impl Waiting {
    fn add(&mut self, events: &[u32]) {
        let room = MOST.saturating_sub(self.events.len());
        let kept = events.len().min(room);
        self.events.extend(events.iter().take(kept));
        self.lost += (events.len() - kept) as u64;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.feed.listeners();
        listeners.waiting.remove(&self.number);
        if listeners.waiting.is_empty() {
            self.feed.switch(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_slowly_costs_no_more_than_its_share() {
        let mut waiting = Waiting::default();
        waiting.add(&vec![1; MOST - 1]);
        waiting.add(&[2, 3, 4]);
        assert_eq!((waiting.events.len(), waiting.lost), (MOST, 2));
        assert_eq!(waiting.events.back(), Some(&2));
    }
}
