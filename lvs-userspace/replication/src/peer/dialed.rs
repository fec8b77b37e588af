//! A peer that is dialed, as the task that serves it and those who ask see it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lvs_api::peers::PeerSent;
use lvs_common::connection::EntryId;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::age::{Bulk, milliseconds};
use super::frame::SessionError;
use super::message::Instance;
use super::record::FrameRecord;
use super::refusal::Refusal;

/// Events that wait to be looked at for one peer; the next scan finds what more there was.
const EVENTS: usize = 65_536;
/// Messages that wait for one peer.
const MESSAGES: usize = 64;

/// A peer that is dialed.
pub(super) struct DialedPeer {
    /// As on the command line, with a port.
    pub(super) address: String,
    /// There is something to send.
    pub(super) wake: Notify,
    pub(super) state: Mutex<DialedState>,
    /// The last scan that the peer has applied, and the last one that was begun.
    pub(super) scans: watch::Sender<(u32, u32)>,
    queue: Mutex<Queue>,
    scan_at_once: AtomicBool,
    /// It was dialed once, with success or not.
    tried: watch::Sender<bool>,
}

/// State of a peer that is dialed.
pub(super) struct DialedState {
    pub(super) instance: Option<Instance>,
    /// The addresses of its name.
    pub(super) resolved: Vec<IpAddr>,
    /// The version of the protocol that is spoken.
    version: u16,
    pub(super) problem: Option<String>,
    /// It is this director.
    pub(super) itself: bool,
    /// The begin or end of the session.
    pub(super) since: Instant,
    /// The last moment at which both dialed each other; before that, the start of this director. A peer that
    /// accepts sessions and ends them is no less away than a silent one.
    pub(super) away_since: Instant,
    /// Without its bulk sync.
    pub(super) sent: PeerSent,
    /// The last bulk sync.
    pub(super) bulk: Option<Bulk>,
}

/// Queues of what is sent as soon as the peer's window is open.
#[derive(Default)]
struct Queue {
    events: Vec<EntryId>,
    resend: Vec<EntryId>,
    messages: VecDeque<Vec<u8>>,
}

impl DialedPeer {
    /// At an address, not reached yet.
    pub(super) fn new(address: String) -> Self {
        Self {
            address,
            wake: Notify::new(),
            state: Mutex::new(DialedState {
                instance: None,
                resolved: Vec::new(),
                version: 0,
                problem: None,
                itself: false,
                since: Instant::now(),
                away_since: Instant::now(),
                sent: PeerSent::default(),
                bulk: None,
            }),
            scans: watch::Sender::new((0, 0)),
            queue: Mutex::default(),
            scan_at_once: AtomicBool::new(false),
            tried: watch::Sender::new(false),
        }
    }

    /// The peer, if it is connected.
    pub(super) fn connected(&self) -> Option<Instance> {
        let state = self.state.lock();
        state.instance.filter(|_| state.sent.connected)
    }

    /// The version of the protocol that is spoken, if it is connected.
    pub(super) fn version(&self) -> Option<u16> {
        let state = self.state.lock();
        state.sent.connected.then_some(state.version)
    }

    /// Waits until it was dialed once, with success or not.
    pub(super) async fn tried(&self) {
        // The sender lives as long as this.
        let _ = self.tried.subscribe().wait_for(|tried| *tried).await;
    }

    /// A session begins, in this version of the protocol. Returns the director that answered at this address
    /// before, if that was another one.
    pub(super) fn session_begins(&self, instance: Instance, version: u16) -> Option<Instance> {
        self.clear();
        let mut state = self.state.lock();
        let before = state.instance.replace(instance);
        state.version = version;
        state.problem = None;
        state.itself = false;
        state.since = Instant::now();
        state.sent.connected = true;
        state.sent.connections = 0;
        info!("peer {}: connected ({instance})", self.address);
        drop(state);
        self.tried.send_replace(true);
        before.filter(|before| *before != instance)
    }

    /// Notes where its name leads to.
    pub(super) fn set_resolved(&self, addresses: Vec<IpAddr>) {
        self.state.lock().resolved = addresses;
    }

    /// They do not dial each other any more.
    pub(super) fn is_away(&self) {
        self.state.lock().away_since = Instant::now();
    }

    /// It turns out to be this director, and is not dialed.
    pub(super) fn set_itself(&self) {
        let mut state = self.state.lock();
        state.itself = true;
        state.problem = None;
        drop(state);
        self.tried.send_replace(true);
    }

    /// A session ended. Returns its peer.
    pub(super) fn session_ended(&self, why: &SessionError) -> Option<Instance> {
        self.clear();
        let mut state = self.state.lock();
        state.since = Instant::now();
        state.sent.connected = false;
        state.sent.losses += 1;
        state.sent.lag_frames = 0;
        state.sent.lag_ms = 0;
        warn!("peer {}: the connection to it broke: {why}", self.address);
        state.instance
    }

    /// Notes why it is not connected.
    pub(super) fn set_problem(&self, why: &SessionError) {
        let problem = Some(why.to_string());
        let mut state = self.state.lock();
        state.itself = matches!(why, SessionError::Refused(Refusal::Itself));
        if state.problem != problem {
            if !state.itself {
                warn!("peer {}: {why}", self.address);
            }
            state.problem = problem;
        }
        drop(state);
        self.tried.send_replace(true);
    }

    /// The peer has applied everything up to a scan.
    pub(super) fn scan_applied(&self, scan: u32) {
        let (before, _) = *self.scans.borrow();
        if before == scan {
            return;
        }
        if before == 0 {
            let mut state = self.state.lock();
            let bulk = Bulk::complete(state.sent.connections, state.since);
            state.bulk = Some(bulk);
            info!(
                "peer {}: was sent all {} connections in {} ms",
                self.address, bulk.connections, bulk.took_ms
            );
        }
        self.scans.send_modify(|(applied, _)| *applied = scan);
    }

    fn clear(&self) {
        *self.queue.lock() = Queue::default();
        self.scans.send_replace((0, 0));
    }

    /// Has the entries of events compared soon.
    pub(super) fn queue_events(&self, events: &[EntryId]) {
        if events.is_empty() || self.connected().is_none() {
            return;
        }
        let mut queue = self.queue.lock();
        let room = EVENTS.saturating_sub(queue.events.len());
        queue.events.extend(events.iter().take(room));
        drop(queue);
        self.wake.notify_one();
    }

    /// Moves queued events to others.
    pub(super) fn drain_events(&self, events: &mut Vec<EntryId>) {
        events.append(&mut self.queue.lock().events);
    }

    /// The peer asks for an entry.
    pub(super) fn is_missing(&self, id: EntryId) {
        self.state.lock().sent.missing += 1;
        self.resend(&[id]);
    }

    /// Has entries sent whole, whatever the peer was sent of them.
    pub(super) fn resend(&self, entries: &[EntryId]) {
        if entries.is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        let room = EVENTS.saturating_sub(queue.resend.len());
        queue.resend.extend(entries.iter().take(room));
        drop(queue);
        self.wake.notify_one();
    }

    /// Removes and returns entries to be sent whole.
    pub(super) fn drain_resend(&self) -> Vec<EntryId> {
        std::mem::take(&mut self.queue.lock().resend)
    }

    /// Queues a message. False: too many wait already.
    pub(super) fn queue_message(&self, message: Vec<u8>) -> bool {
        let mut queue = self.queue.lock();
        if queue.messages.len() >= MESSAGES {
            return false;
        }
        queue.messages.push_back(message);
        drop(queue);
        self.wake.notify_one();
        true
    }

    /// Fills a frame with messages up to so many bytes, or with a longer one alone.
    pub(super) fn drain_messages(&self, frame: &mut Vec<u8>, most: usize) {
        let mut queue = self.queue.lock();
        while let Some(message) = queue.messages.front()
            && (frame.is_empty() || frame.len() + message.len() < most)
        {
            FrameRecord::Message(message).write(frame);
            queue.messages.pop_front();
        }
    }

    /// Has the next scan begin at once.
    pub(super) fn scan_at_once(&self) {
        self.scan_at_once.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// True, once, if the next scan is to begin at once.
    pub(super) fn is_asked_to_scan(&self) -> bool {
        self.scan_at_once.swap(false, Ordering::Relaxed)
    }

    /// A scan begins.
    pub(super) fn scan_begins(&self, number: u32) {
        self.scans.send_modify(|(_, begun)| *begun = number);
    }

    /// Sets the frames under way, and the age of the oldest.
    pub(super) fn set_lag(&self, (frames, age): (u64, Duration)) {
        let mut state = self.state.lock();
        state.sent.lag_frames = frames;
        state.sent.lag_ms = milliseconds(age);
    }

    /// Sets what it was sent by now.
    pub(super) fn set_sent(&self, connections: u32, progress: u8) {
        let mut state = self.state.lock();
        state.sent.connections = connections.into();
        state.sent.progress = progress;
    }
}
