//! A peer that dials this director, as the task that serves it and those who ask see it.

use std::net::SocketAddr;
use std::time::Instant;

use lvs_api::peers::PeerReceived;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{info, warn};

use super::age::Bulk;
use super::frame::SessionError;
use super::message::Instance;
use super::receiver::Receiver;
use super::replica_index::ReplicaIndex;
use crate::discard::DiscardCounters;

/// A peer that dialed.
pub(super) struct DialingPeer {
    pub(super) instance: Instance,
    pub(super) discarded: DiscardCounters,
    /// Held by the one session that is served.
    pub(super) session: tokio::sync::Mutex<()>,
    pub(super) state: Mutex<DialingState>,
    newest: watch::Sender<u64>,
    index: Mutex<Option<(ReplicaIndex, u32)>>,
}

/// State of a peer that dialed.
pub(super) struct DialingState {
    pub(super) address: String,
    /// The begin or end of its session, or of its bulk sync.
    pub(super) since: Instant,
    /// Without its bulk sync.
    pub(super) received: PeerReceived,
    /// The last bulk sync.
    pub(super) bulk: Option<Bulk>,
    /// Its bulk sync is complete.
    pub(super) complete: bool,
    /// Another director answers at its address.
    replaced: bool,
}

impl DialingPeer {
    /// A director that was in no session yet.
    pub(super) fn new(instance: Instance) -> Self {
        Self {
            instance,
            discarded: DiscardCounters::default(),
            session: tokio::sync::Mutex::default(),
            state: Mutex::new(DialingState {
                address: String::new(),
                since: Instant::now(),
                received: PeerReceived::default(),
                bulk: None,
                complete: false,
                replaced: false,
            }),
            newest: watch::Sender::new(0),
            index: Mutex::default(),
        }
    }

    /// Replaces the session that is served by a new one, whose receiver changes when it is replaced itself.
    pub(super) fn replace(&self) -> watch::Receiver<u64> {
        let newest = self.newest.subscribe();
        self.newest.send_modify(|number| *number += 1);
        newest
    }

    /// Removes and returns the index that its last session left, and the tick at which it did.
    pub(super) fn remove_index(&self) -> Option<(ReplicaIndex, u32)> {
        self.index.lock().take()
    }

    /// Keeps the index for the next session.
    pub(super) fn keep_index(&self, index: ReplicaIndex, now: u32) {
        *self.index.lock() = Some((index, now));
    }

    /// A session begins.
    pub(super) fn session_begins(&self, address: SocketAddr) {
        let mut state = self.state.lock();
        state.address = address.ip().to_canonical().to_string();
        state.since = Instant::now();
        state.complete = false;
        state.received.connected = true;
        state.received.progress = 0;
        state.received.connections = 0;
        state.received.not_taken = 0;
        state.received.scan_applied = 0;
        state.replaced = false;
    }

    /// A session ended.
    pub(super) fn session_ended(&self, why: &SessionError) {
        let mut state = self.state.lock();
        state.since = Instant::now();
        state.complete = false;
        state.received.connected = false;
        state.received.losses += 1;
        state.received.progress = 0;
        warn!("peer {}: its connection broke: {why}", state.address);
    }

    /// Another director answers at its address. True: it has no session.
    pub(super) fn set_replaced(&self) -> bool {
        let mut state = self.state.lock();
        state.replaced = true;
        !state.received.connected
    }

    /// True if another director answers at its address.
    pub(super) fn is_replaced(&self) -> bool {
        self.state.lock().replaced
    }

    /// A frame was applied; `joined`: it completed the bulk sync.
    pub(super) fn frame_applied(&self, receiver: &Receiver, joined: bool) {
        let mut state = self.state.lock();
        state.received.connections = receiver.connections().into();
        state.received.progress = receiver.progress();
        state.received.not_taken = receiver.not_taken();
        state.received.scan_applied = receiver.complete();
        if joined {
            let bulk = Bulk::complete(state.received.connections, state.since);
            state.bulk = Some(bulk);
            state.complete = true;
            state.since = Instant::now();
            info!(
                "peer {}: has sent all of its {} connections in {} ms",
                state.address, bulk.connections, bulk.took_ms
            );
        }
    }
}
