//! What the program tells about connections, for everybody who tells other directors of them.

use std::collections::{BTreeMap, VecDeque};
use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lvs_common::abi::{self, Config};

use lvs_dataplane::kernel::Maps;

/// Events that wait for one listener at most.
const MOST: usize = 65_536;

/// Hands the program's events to each of those who listen, and has it tell nothing while nobody does.
pub struct Feed {
    maps: Arc<Maps>,
    /// As `--sync-period` says.
    repeats: u64,
    listeners: Mutex<Listeners>,
}

/// What a listener wants to hear of a connection that only goes on. It costs the packets of known connections
/// something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    #[default]
    News,
    /// After each so many packets, as the operator says.
    Repeats,
}

#[derive(Default)]
struct Listeners {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Default)]
struct Waiting {
    wanted: Wanted,
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
        let config = maps.config.read(0);
        let feed = Self {
            repeats: config.map_or(0, |config| config.sync.repeats),
            maps,
            listeners: Mutex::default(),
        };
        feed.switch(&Listeners::default());
        feed
    }

    /// From now on somebody listens.
    pub fn listen(self: &Arc<Self>, wanted: Wanted) -> Listener {
        let mut listeners = self.listeners();
        let number = listeners.next;
        listeners.next += 1;
        let waiting = Waiting {
            wanted,
            ..Waiting::default()
        };
        listeners.waiting.insert(number, waiting);
        self.switch(&listeners);
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

    /// Has the program tell what somebody wants to hear.
    fn switch(&self, listeners: &Listeners) {
        let mut all = listeners.waiting.values();
        let repeats = all.any(|waiting| waiting.wanted == Wanted::Repeats);
        let config = &self.maps.config;
        let offset = offset_of!(Config, sync);
        if let Some(word) = config.double_word(0, offset + offset_of!(abi::Sync, repeats)) {
            word.store(if repeats { self.repeats } else { 0 }, Ordering::Relaxed);
        }
        if let Some(word) = config.word(0, offset + offset_of!(abi::Sync, on)) {
            word.store((!listeners.waiting.is_empty()).into(), Ordering::Relaxed);
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
        self.feed.switch(&listeners);
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
