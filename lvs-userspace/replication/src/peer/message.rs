//! Messages between directors, beside their connections.

use std::fmt;

use lvs_api::role::Role;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of an encoded message at most, for which a frame has room.
pub(super) const MAX_LENGTH: usize = 60_000;

/// Name of a director: drawn with its tables, so it stays when lvsd starts anew and the tables stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance(pub u64);

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A message from one director to another. Delivered at most once, in order, while both are connected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// The sender's role, from now on.
    Role(Role),
    /// About a handover.
    Takeover(Takeover),
    /// States of real servers, in a form that this crate does not know.
    Health(Value),
}

/// A step of a handover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takeover {
    /// The peer is to become master; `id` is the asker's, to know the answer by.
    Ask {
        /// The handover.
        id: u64,
    },
    /// It did.
    Done {
        /// The handover.
        id: u64,
    },
    /// It did not.
    Refused {
        /// The handover.
        id: u64,
        /// The reason, for people.
        why: String,
    },
}

/// An event of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Messages can be sent to a director, which knows none of earlier sessions.
    Joined(Instance),
    /// Messages cannot be sent to it any more.
    Left(Instance),
    /// It sent a message.
    Received(Instance, Message),
}
