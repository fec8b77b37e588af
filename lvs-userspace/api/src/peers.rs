//! What travels over the control socket about the links to other directors.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/peers` | | [`PeersStatus`] |

use serde::{Deserialize, Serialize};

use super::role::Role;
use super::sync::DiscardCount;

/// How the links are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersStatus {
    /// This director's own name on the links; none: it has no peers.
    pub instance: Option<String>,
    /// Where it listens.
    pub listening: Option<String>,
    /// The others: those it dials first, in the order of the command line.
    pub peers: Vec<PeerStatus>,
    /// Why links were refused or broke, reasons that occurred.
    pub refused: Vec<RefusalCount>,
    /// Events of the data path that did not fit into their buffer: the next scan, a second later at most,
    /// makes up for them.
    pub lost_events: u64,
}

/// One other director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// As on the command line, or where it dialled from.
    pub address: String,
    /// Its name on the links, as soon as it is known.
    pub instance: Option<String>,
    /// Its role, as it said.
    pub role: Option<Role>,
    /// How it is.
    pub state: PeerState,
    /// Since when (seconds since 1970).
    pub since: u64,
    /// What is in the way.
    pub problem: Option<String>,
    /// What it is told; none: it is not dialled.
    pub told: Option<Told>,
    /// What it tells; none: it never dialled.
    pub taken: Option<Taken>,
}

/// How a peer is.
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

/// What a peer is told about this director's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whether it is reached.
    pub connected: bool,
    /// Of this director's own connections and templates, those that it was told and are there.
    pub connections: u64,
    /// Frames that it did not take yet.
    pub lag_frames: u64,
    /// Milliseconds since the oldest of them was sent.
    pub lag_ms: u64,
    /// How much of the table it was told, in percent, while it catches up.
    pub progress: u8,
    /// The last transfer of everything.
    pub bulk: Option<Bulk>,
    /// Connections to it that broke.
    pub losses: u64,
    /// Entries that it asked for because it did not have them.
    pub missing: u64,
}

/// What a peer tells about its connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Whether it is connected.
    pub connected: bool,
    /// Of its connections and templates, those that are held here.
    pub connections: u64,
    /// How much of its table it has told, in percent, while this director catches up.
    pub progress: u8,
    /// The last transfer of everything.
    pub bulk: Option<Bulk>,
    /// Its connections to here that broke.
    pub losses: u64,
    /// What was not taken, by reason; reasons that occurred.
    pub discarded: Vec<DiscardCount>,
}

/// A transfer of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bulk {
    /// When it was complete (seconds since 1970).
    pub at: u64,
    /// Connections and templates.
    pub connections: u64,
    /// How long it took in milliseconds.
    pub took_ms: u64,
}

/// How often links were refused, or broke, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RefusalCount {
    pub name: String,
    pub count: u64,
    pub explanation: String,
}
