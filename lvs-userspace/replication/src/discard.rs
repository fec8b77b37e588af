//! Reasons to discard what another director sent, and how often each occurred.

use std::sync::atomic::{AtomicU64, Ordering};

use lvs_api::sync::DiscardCount;
use lvs_dataplane::director::Unrecognized;

/// The reason why a message, or one entry of it, is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is explained by `Discard::explanation`")]
pub enum Discard {
    ShortMessage,
    MessageLength,
    SyncId,
    Truncated,
    EntryVersion,
    EntryLength,
    Option,
    UnknownOption,
    Protocol,
    Address,
    State,
    Timeout,
    Method,
    Engine,
    Sequences,
    NoService,
    NoServer,
    Inactive,
    Fresher,
    NoRoom,
    SourceTaken,
}

impl Discard {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::ShortMessage,
        Self::MessageLength,
        Self::SyncId,
        Self::Truncated,
        Self::EntryVersion,
        Self::EntryLength,
        Self::Option,
        Self::UnknownOption,
        Self::Protocol,
        Self::Address,
        Self::State,
        Self::Timeout,
        Self::Method,
        Self::Engine,
        Self::Sequences,
        Self::NoService,
        Self::NoServer,
        Self::Inactive,
        Self::Fresher,
        Self::NoRoom,
        Self::SourceTaken,
    ];

    /// For listings and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ShortMessage => "short-message",
            Self::MessageLength => "message-length",
            Self::SyncId => "syncid",
            Self::Truncated => "truncated",
            Self::EntryVersion => "entry-version",
            Self::EntryLength => "entry-length",
            Self::Option => "option",
            Self::UnknownOption => "unknown-option",
            Self::Protocol => "protocol",
            Self::Address => "address",
            Self::State => "state",
            Self::Timeout => "timeout",
            Self::Method => "method",
            Self::Engine => "engine",
            Self::Sequences => "sequences",
            Self::NoService => "no-service",
            Self::NoServer => "no-server",
            Self::Inactive => "inactive",
            Self::Fresher => "fresher",
            Self::NoRoom => "no-room",
            Self::SourceTaken => "source-taken",
        }
    }

    /// For people.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::ShortMessage => "a message shorter than its header",
            Self::MessageLength => "a message that is not as long as its header says",
            Self::SyncId => "a message of another group of directors",
            Self::Truncated => "an entry goes on past the end of its message",
            Self::EntryVersion => "an entry of an unknown version",
            Self::EntryLength => "an entry too short for what it has to hold",
            Self::Option => "an entry with a malformed option",
            Self::UnknownOption => "an entry that cannot be understood without an unknown option",
            Self::Protocol => "a connection of a protocol that is not balanced",
            Self::Address => "a connection with an impossible address or port",
            Self::State => "a state that its protocol does not have",
            Self::Timeout => "a timeout of more than 31 days",
            Self::Method => "a connection that goes to no real server (bypass, one-packet)",
            Self::Engine => {
                "an entry of a persistence engine that its virtual service does not have here"
            }
            Self::Sequences => "a connection whose payload its director changes (FTP helper)",
            Self::NoService => "there is no such virtual service here",
            Self::NoServer => "its virtual service has no such real server here",
            Self::Inactive => "a connection that is over and goes to another real server here",
            Self::Fresher => "a connection whose last packet came here, and later than there",
            Self::NoRoom => "there is no room in the connection table",
            Self::SourceTaken => {
                "a connection whose source its real server knows as that of another one of this director"
            }
        }
    }
}

impl From<Unrecognized> for Discard {
    fn from(why: Unrecognized) -> Self {
        match why {
            Unrecognized::NoService => Self::NoService,
            Unrecognized::NoServer => Self::NoServer,
        }
    }
}

/// Counts of all reasons.
#[derive(Debug, Default)]
pub(crate) struct DiscardCounters([AtomicU64; Discard::ALL.len()]);

impl DiscardCounters {
    /// Counts one.
    pub(crate) fn count(&self, why: Discard) {
        if let Some(counter) = self.0.get(why as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reasons that occurred.
    pub(crate) fn list(&self) -> Vec<DiscardCount> {
        let counts = Discard::ALL.into_iter().zip(&self.0);
        let counts = counts.map(|(why, counter)| DiscardCount {
            name: why.name().to_owned(),
            count: counter.load(Ordering::Relaxed),
            explanation: why.explanation().to_owned(),
        });
        counts.filter(|discard| discard.count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_as_they_are_listed() {
        for (number, why) in Discard::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, number, "{why:?}");
        }
    }
}
