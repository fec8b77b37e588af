//! Types about connection replication over encrypted sessions with peers.

use serde::{Deserialize, Serialize};

use super::role::Role;
use super::sync::DiscardCount;

/// Status of all sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PeersStatus {
    /// This director's own name in sessions; none: it has no peers.
    pub instance: Option<String>,
    /// Address at which it listens.
    pub listening: Option<String>,
    /// The others: those it dials first, in the order of the command line.
    pub peers: Vec<PeerStatus>,
    /// Sessions that were refused or ended, by address and reason, the latest first; those of the last 64 pairs.
    pub refused: Vec<RefusalCount>,
    /// Events of the data path that did not fit into their buffer: the next scan, a second later at most,
    /// makes up for them.
    pub lost_events: u64,
}

/// One other director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PeerStatus {
    /// As on the command line, or the address that it dialed from.
    pub address: String,
    /// Its name in sessions, as soon as it is known.
    pub instance: Option<String>,
    /// Its role, as it sent it.
    pub role: Option<Role>,
    /// Its state.
    pub state: PeerState,
    /// Begin of that state (seconds since 1970), by the wall clock of now.
    pub since: u64,
    /// Age of that state in seconds, whatever became of the wall clock. A peer is away since they last dialed each
    /// other, or since this director started.
    #[serde(default)]
    pub age: u64,
    /// Reason for which there is no session, or one in one direction only.
    pub problem: Option<String>,
    /// The version of the protocol that is spoken with it; none: it is not dialed.
    #[serde(default)]
    pub version: Option<u16>,
    /// The comparison of its configuration with this director's; none: it is not known (yet).
    #[serde(default)]
    pub comparison: Option<Comparison>,
    /// Counters of what it is sent; none: it is not dialed.
    #[serde(alias = "told")]
    pub sent: Option<PeerSent>,
    /// Counters of what is received from it; none: it never dialed.
    #[serde(alias = "taken")]
    pub received: Option<PeerReceived>,
}

/// State of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PeerSent {
    /// True while there is a session.
    pub connected: bool,
    /// Of this director's own connections and templates, those that it was sent and exist.
    pub connections: u64,
    /// The last scan of this director's tables that was begun, counted in each session.
    #[serde(default)]
    pub scan_begun: u32,
    /// The last one that it has applied.
    #[serde(default)]
    pub scan_applied: u32,
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
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PeerReceived {
    /// True while it is connected.
    pub connected: bool,
    /// Of its connections and templates, those that are held here.
    pub connections: u64,
    /// The last scan of its tables that was applied here, counted in each session.
    #[serde(default)]
    pub scan_applied: u32,
    /// Share of its tables that was received, in percent, while this director catches up.
    pub progress: u8,
    /// The last bulk sync.
    pub bulk: Option<BulkSync>,
    /// Sessions that broke.
    pub losses: u64,
    /// Connections and templates of it that are not here now, for want of their real server or of room.
    #[serde(default)]
    pub not_taken: u64,
    /// Discarded entries, by reason; reasons that occurred.
    pub discarded: Vec<DiscardCount>,
}

/// A comparison of this director with a peer: where they differ, the one loses connections of the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Comparison {
    /// Their configurations differ: virtual services, real servers, filters, rules for marks, timeouts.
    pub differs: bool,
    /// Lines of the configuration that only this director has, in the words of `ipvsadm -S`; the first few.
    pub only_here: Vec<String>,
    /// Lines that only the peer has; the first few.
    pub only_there: Vec<String>,
    /// Lines that are left out in both lists.
    pub more: u64,
    /// Connections of this director's that the peer lacks, for want of their real server or of room there.
    pub not_taken_there: u64,
    /// Connections of the peer's that this director lacks.
    pub not_taken_here: u64,
}

impl Comparison {
    /// The differences, for people, a sentence each; empty: there are none.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.differs {
            let side = |name: &str, lines: &[String]| {
                let lines = lines.iter().map(|line| format!("`{line}'"));
                let lines: Vec<_> = lines.collect();
                (!lines.is_empty()).then(|| format!("only {name}: {}", lines.join(", ")))
            };
            let more = (self.more > 0).then(|| format!("and {} lines more", self.more));
            let parts = [
                side("here", &self.only_here),
                side("there", &self.only_there),
                more,
            ];
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            let parts = if parts.is_empty() {
                String::new()
            } else {
                format!(": {}", parts.join("; "))
            };
            sentences.push(format!("its configuration differs{parts}"));
        }
        let lacks = "for want of their real server or of room";
        if self.not_taken_there > 0 {
            let count = self.not_taken_there;
            sentences.push(format!("{count} connections are here only, {lacks} there"));
        }
        if self.not_taken_here > 0 {
            let count = self.not_taken_here;
            sentences.push(format!("{count} connections are there only, {lacks} here"));
        }
        sentences
    }
}

/// A bulk sync: the first transfer of all connections in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct BulkSync {
    /// Time of its end (seconds since 1970), by the wall clock of now.
    pub at: u64,
    /// Seconds since its end, whatever became of the wall clock.
    #[serde(default)]
    pub age: u64,
    /// Connections and templates.
    pub connections: u64,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

/// Sessions with directors of one address that were refused or ended for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct RefusalCount {
    /// The address.
    pub address: String,
    /// The reason, one word.
    pub name: String,
    /// Their number.
    pub count: u64,
    /// Time of the first (seconds since 1970), by the wall clock of now.
    pub since: u64,
    /// Time of the last.
    pub last: u64,
    /// Seconds since the last, whatever became of the wall clock.
    pub last_age: u64,
    /// The reason, for people.
    pub explanation: String,
}
