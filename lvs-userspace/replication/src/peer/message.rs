//! What directors tell each other beside their connections.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use lvs_api::role::Role;

/// A message, encoded, at most: what a frame has room for.
pub(super) const MAX_LENGTH: usize = 60_000;

/// Which director: drawn with its tables, so it stays when lvsd starts anew and the tables do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance(pub u64);

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What one director tells another. Delivered at most once, in order, while both are connected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// The sender's role, from now on.
    Role(Role),
    /// About a handover.
    Takeover(Takeover),
    /// Verdicts and admin states, in the words of whoever exchanges them.
    Health(Value),
}

/// A step of a handover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takeover {
    /// The peer is to become master; `id` is the asker's, to know the answer by.
    Ask {
        /// Which handover.
        id: u64,
    },
    /// It did.
    Done {
        /// Which handover.
        id: u64,
    },
    /// It did not.
    Refused {
        /// Which handover.
        id: u64,
        /// Why not, for people.
        why: String,
    },
}

/// What happens on the links.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A director that can be told something: whatever it is to know has to be told now.
    Joined(Instance),
    /// It cannot be told anything any more.
    Left(Instance),
    /// It told something.
    Received(Instance, Message),
}
