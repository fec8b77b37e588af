//! Messages between directors, beside their connections.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use lvs_api::role::Role;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::refusal::Refusal;

/// The version of the protocol from which on directors compare what they have.
pub const AGREEMENT_SINCE: u16 = 4;

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

impl FromStr for Instance {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
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
    /// The agreement about what both directors should have alike, in a form that this crate does not know.
    Agreement(Value),
}

impl Message {
    /// The version of the protocol that has it, see [`super::hello::Versions`].
    pub(super) const fn since(&self) -> u16 {
        match self {
            Self::Role(_) | Self::Takeover(_) | Self::Health(_) => 3,
            Self::Agreement(_) => AGREEMENT_SINCE,
        }
    }

    /// Reads one; `None`: it is of a version that this director does not know.
    pub(super) fn read(text: &[u8]) -> Result<Option<Self>, Refusal> {
        const KNOWN: [&str; 4] = ["role", "takeover", "health", "agreement"];
        let value: Value = serde_json::from_slice(text).map_err(|_| Refusal::Malformed)?;
        let name = match &value {
            Value::Object(map) => map.keys().next().map(String::as_str),
            Value::String(name) => Some(name.as_str()),
            _ => None,
        };
        let name = name.ok_or(Refusal::Malformed)?;
        if !KNOWN.contains(&name) {
            return Ok(None);
        }
        serde_json::from_value(value).map_err(|_| Refusal::Malformed)
    }
}

/// A step of a handover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takeover {
    /// The peer is to become master; `id` is the asker's, to know the answer by.
    Ask {
        /// The handover.
        id: u64,
        /// The summary of the asker, in a form that this crate does not know; the peer refuses if connections would be
        /// lost. None: it is to become master all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<Value>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_later_version_are_passed_over_and_nonsense_is_refused() {
        for message in [
            Message::Role(Role::Backup),
            Message::Takeover(Takeover::Done { id: 7 }),
            Message::Health(Value::Null),
            Message::Agreement(Value::Bool(true)),
        ] {
            let text = serde_json::to_vec(&message).unwrap();
            assert_eq!(Message::read(&text), Ok(Some(message)));
        }
        assert_eq!(Message::read(br#"{"weather":{"rain":1}}"#), Ok(None));
        assert_eq!(Message::read(br#""weather""#), Ok(None));
        for nonsense in ["", "{", "[]", "7", "{}", r#"{"role":"boss"}"#] {
            let read = Message::read(nonsense.as_bytes());
            assert_eq!(read, Err(Refusal::Malformed), "{nonsense}");
        }
    }
}
