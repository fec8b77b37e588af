//! The two ends of the links to one peer, as the tasks that serve them and those who ask see them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::frame::Broken;
use super::item::Item;
use super::message::Instance;
use super::mirror::Mirror;
use super::take::Taker;
use crate::sync::Discarded;
use lvs_api::peers::{Bulk, Taken, Told};

/// Events that wait to be looked at for one peer; the next scan finds what more there was.
const EVENTS: usize = 65_536;
/// Messages that wait for one peer.
const MESSAGES: usize = 64;

/// A peer that is dialled.
pub(super) struct Out {
    /// As on the command line, with a port.
    pub(super) address: String,
    /// There is something to tell.
    pub(super) wake: Notify,
    /// How it goes.
    pub(super) state: Mutex<OutState>,
    /// The scan that the peer has followed last, and the one that was begun last.
    pub(super) scans: watch::Sender<(u32, u32)>,
    waiting: Mutex<Waiting>,
    scan_at_once: AtomicBool,
}

/// How a peer that is dialled is.
#[derive(Default)]
pub(super) struct OutState {
    pub(super) instance: Option<Instance>,
    pub(super) problem: Option<String>,
    /// It is this director.
    pub(super) itself: bool,
    pub(super) since: u64,
    pub(super) told: Told,
    begun: Option<Instant>,
}

/// What a peer is to be told as soon as its window is open.
#[derive(Default)]
struct Waiting {
    events: Vec<u32>,
    again: Vec<u32>,
    messages: VecDeque<Vec<u8>>,
}

impl Out {
    /// Of an address, not reached yet.
    pub(super) fn new(address: String) -> Self {
        Self {
            address,
            wake: Notify::new(),
            state: Mutex::new(OutState {
                since: now(),
                ..OutState::default()
            }),
            scans: watch::Sender::new((0, 0)),
            waiting: Mutex::default(),
            scan_at_once: AtomicBool::new(false),
        }
    }

    /// The peer, if it is connected.
    pub(super) fn connected(&self) -> Option<Instance> {
        let state = lock(&self.state);
        state.instance.filter(|_| state.told.connected)
    }

    /// A session begins.
    pub(super) fn begins(&self, instance: Instance) {
        self.clear();
        let mut state = lock(&self.state);
        state.instance = Some(instance);
        state.problem = None;
        state.since = now();
        state.begun = Some(Instant::now());
        state.told.connected = true;
        state.told.connections = 0;
        info!("peer {}: connected ({instance})", self.address);
    }

    /// A session ends. Returns whose it was.
    pub(super) fn ends(&self, why: &Broken) -> Option<Instance> {
        self.clear();
        let mut state = lock(&self.state);
        state.since = now();
        state.told.connected = false;
        state.told.losses += 1;
        state.told.lag_frames = 0;
        state.told.lag_ms = 0;
        warn!("peer {}: the connection to it broke: {why}", self.address);
        state.instance
    }

    /// It is not connected, and why.
    pub(super) fn is_away(&self, why: &Broken) {
        let problem = Some(why.to_string());
        let mut state = lock(&self.state);
        state.itself = matches!(why, Broken::Refused(super::Refusal::Itself));
        if state.problem != problem {
            if !state.itself {
                warn!("peer {}: {why}", self.address);
            }
            state.problem = problem;
        }
    }

    /// The peer has followed up to a scan.
    pub(super) fn has_followed(&self, scan: u32) {
        let (before, _) = *self.scans.borrow();
        if before == scan {
            return;
        }
        if before == 0 {
            let mut state = lock(&self.state);
            let bulk = bulk(state.told.connections, state.begun);
            state.told.bulk = Some(bulk);
            info!(
                "peer {}: was told all {} connections in {} ms",
                self.address, bulk.connections, bulk.took_ms
            );
        }
        self.scans.send_modify(|(followed, _)| *followed = scan);
    }

    fn clear(&self) {
        *lock(&self.waiting) = Waiting::default();
        self.scans.send_replace((0, 0));
    }

    /// Looks at these entries soon.
    pub(super) fn look(&self, events: &[u32]) {
        if events.is_empty() || self.connected().is_none() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        let room = EVENTS.saturating_sub(waiting.events.len());
        waiting.events.extend(events.iter().take(room));
        drop(waiting);
        self.wake.notify_one();
    }

    /// Hands out what is to be looked at.
    pub(super) fn take_events(&self, events: &mut Vec<u32>) {
        events.append(&mut lock(&self.waiting).events);
    }

    /// The peer asks for an entry.
    pub(super) fn misses(&self, id: u32) {
        lock(&self.state).told.missing += 1;
        self.tell_again(&[id]);
    }

    /// Tells these entries whole, whatever the peer knows of them.
    pub(super) fn tell_again(&self, entries: &[u32]) {
        if entries.is_empty() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        let room = EVENTS.saturating_sub(waiting.again.len());
        waiting.again.extend(entries.iter().take(room));
        drop(waiting);
        self.wake.notify_one();
    }

    /// Hands out what is to be told whole.
    pub(super) fn take_again(&self) -> Vec<u32> {
        std::mem::take(&mut lock(&self.waiting).again)
    }

    /// Puts a message on its way. False: too many wait already.
    pub(super) fn say(&self, message: Vec<u8>) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.messages.len() >= MESSAGES {
            return false;
        }
        waiting.messages.push_back(message);
        drop(waiting);
        self.wake.notify_one();
        true
    }

    /// Fills a frame with messages up to so many bytes, or with a longer one alone.
    pub(super) fn take_messages(&self, frame: &mut Vec<u8>, most: usize) {
        let mut waiting = lock(&self.waiting);
        while let Some(message) = waiting.messages.front()
            && (frame.is_empty() || frame.len() + message.len() < most)
        {
            Item::Message(message).write(frame);
            waiting.messages.pop_front();
        }
    }

    /// The next scan is to begin at once.
    pub(super) fn scan_at_once(&self) {
        self.scan_at_once.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Whether it is to; asked once.
    pub(super) fn is_asked_to_scan(&self) -> bool {
        self.scan_at_once.swap(false, Ordering::Relaxed)
    }

    /// A scan begins.
    pub(super) fn scan_begins(&self, number: u32) {
        self.scans.send_modify(|(_, begun)| *begun = number);
    }

    /// Frames under way, and the age of the oldest.
    pub(super) fn lags(&self, (frames, age): (u64, Duration)) {
        let mut state = lock(&self.state);
        state.told.lag_frames = frames;
        state.told.lag_ms = milliseconds(age);
    }

    /// What it was told by now.
    pub(super) fn is_told(&self, connections: u32, progress: u8) {
        let mut state = lock(&self.state);
        state.told.connections = connections.into();
        state.told.progress = progress;
    }
}

/// A peer that dialled.
pub(super) struct In {
    pub(super) instance: Instance,
    /// What was not taken of it.
    pub(super) discarded: Discarded,
    /// Held by the one connection that is served.
    pub(super) session: tokio::sync::Mutex<()>,
    /// How it goes.
    pub(super) state: Mutex<InState>,
    newest: watch::Sender<u64>,
    mirror: Mutex<Option<(Mirror, u32)>>,
}

/// How a peer that dialled is.
#[derive(Default)]
pub(super) struct InState {
    pub(super) address: String,
    pub(super) since: u64,
    pub(super) taken: Taken,
    /// It has told everything.
    pub(super) complete: bool,
    begun: Option<Instant>,
}

impl In {
    /// Of a director.
    pub(super) fn new(instance: Instance) -> Self {
        Self {
            instance,
            discarded: Discarded::default(),
            session: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            newest: watch::Sender::new(0),
            mirror: Mutex::default(),
        }
    }

    /// A new connection takes the place of the one that is served; the receiver tells when it is replaced
    /// itself.
    pub(super) fn replace(&self) -> watch::Receiver<u64> {
        let newest = self.newest.subscribe();
        self.newest.send_modify(|number| *number += 1);
        newest
    }

    /// What was held of it when it left, and when that was.
    pub(super) fn recall(&self) -> Option<(Mirror, u32)> {
        lock(&self.mirror).take()
    }

    /// Keeps it for the next session.
    pub(super) fn remember(&self, mirror: Mirror, now: u32) {
        *lock(&self.mirror) = Some((mirror, now));
    }

    /// It begins to tell.
    pub(super) fn begins(&self, address: SocketAddr) {
        let mut state = lock(&self.state);
        state.address = address.ip().to_canonical().to_string();
        state.since = now();
        state.begun = Some(Instant::now());
        state.complete = false;
        state.taken.connected = true;
        state.taken.progress = 0;
        state.taken.connections = 0;
    }

    /// It tells no more.
    pub(super) fn ends(&self, why: &Broken) {
        let mut state = lock(&self.state);
        state.since = now();
        state.complete = false;
        state.taken.connected = false;
        state.taken.losses += 1;
        state.taken.progress = 0;
        warn!("peer {}: its connection broke: {why}", state.address);
    }

    /// A frame was taken; `joined`: with it everything was told for the first time.
    pub(super) fn has_told(&self, taker: &Taker, joined: bool) {
        let mut state = lock(&self.state);
        state.taken.connections = taker.connections().into();
        state.taken.progress = taker.progress();
        if joined {
            let bulk = bulk(state.taken.connections, state.begun);
            state.taken.bulk = Some(bulk);
            state.complete = true;
            state.since = now();
            info!(
                "peer {}: has told all of its {} connections in {} ms",
                state.address, bulk.connections, bulk.took_ms
            );
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn bulk(connections: u64, begun: Option<Instant>) -> Bulk {
    Bulk {
        at: now(),
        connections,
        took_ms: begun.map_or(0, |begun| milliseconds(begun.elapsed())),
    }
}
