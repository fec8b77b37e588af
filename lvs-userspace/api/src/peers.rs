//! Types about connection replication over encrypted sessions with peers.

use serde::{Deserialize, Serialize};

use super::role::Role;
use super::sync::DiscardCount;

/// Status of all sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersStatus {
    /// This director's own name in sessions; none: it has no peers.
    pub instance: Option<String>,
    /// Address at which it listens.
    pub listening: Option<String>,
    /// The others: those it dials first, in the order of the command line.
    pub peers: Vec<PeerStatus>,
    /// Sessions that were refused or ended, by reason; reasons that occurred.
    pub refused: Vec<RefusalCount>,
    /// Events of the data path that did not fit into their buffer: the next scan, a second later at most,
    /// makes up for them.
    pub lost_events: u64,
}

/// One other director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// As on the command line, or the address that it dialed from.
    pub address: String,
    /// Its name in sessions, as soon as it is known.
    pub instance: Option<String>,
    /// Its role, as it sent it.
    pub role: Option<Role>,
    /// Its state.
    pub state: PeerState,
    /// Since when (seconds since 1970).
    pub since: u64,
    /// Reason for which there is no session.
    pub problem: Option<String>,
    /// Counters of what it is sent; none: it is not dialed.
    #[serde(rename = "told", alias = "sent")]
    pub sent: Option<PeerSent>,
    /// Counters of what is received from it; none: it never dialed.
    #[serde(rename = "taken", alias = "received")]
    pub received: Option<PeerReceived>,
}

/// State of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// Not connected, in at least one direction.
    #[default]
    Away,
    /// The connections of one of both are on their way as a whole.
    CatchingUp,
    /// Each knows the connections of the other.
    InStep,
    /// This director: a list of all of them may be the same on each.
    Itself,
}

impl PeerState {
    /// As it is listed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::CatchingUp => "catching up",
            Self::InStep => "in step",
            Self::Itself => "itself",
        }
    }
}

/// Counters of this director's connections that a peer is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSent {
    /// True while there is a session.
    pub connected: bool,
    /// Of this director's own connections and templates, those that it was sent and exist.
    pub connections: u64,
    /// Frames that it has not applied yet.
    pub lag_frames: u64,
    /// Milliseconds since the oldest of them was sent.
    pub lag_ms: u64,
    /// Share of the tables that it was sent, in percent, while it catches up.
    pub progress: u8,
    /// The last bulk sync.
    pub bulk: Option<BulkSync>,
    /// Sessions that broke.
    pub losses: u64,
    /// Entries that it asked for because it did not have them.
    pub missing: u64,
}

/// Counters of a peer's connections that are received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReceived {
    /// True while it is connected.
    pub connected: bool,
    /// Of its connections and templates, those that are held here.
    pub connections: u64,
    /// Share of its tables that was received, in percent, while this director catches up.
    pub progress: u8,
    /// The last bulk sync.
    pub bulk: Option<BulkSync>,
    /// Sessions that broke.
    pub losses: u64,
    /// Discarded entries, by reason; reasons that occurred.
    pub discarded: Vec<DiscardCount>,
}

/// A bulk sync: the first transfer of all connections in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkSync {
    /// Time of its end (seconds since 1970).
    pub at: u64,
    /// Connections and templates.
    pub connections: u64,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

/// Number of sessions that were refused or ended for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RefusalCount {
    pub name: String,
    pub count: u64,
    pub explanation: String,
}
