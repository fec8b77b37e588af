//! Reasons to refuse a session or to end it, and how often each occurred.

use std::sync::atomic::{AtomicU64, Ordering};

use lvs_api::peers::RefusalCount;

/// Why a peer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("it has another key")]
    Key,
    #[error("it speaks another version of the protocol")]
    Version,
    #[error("it is this director itself")]
    Itself,
    #[error("it sent a frame of an impossible length")]
    Length,
    #[error("it sent something that was changed on the way, or was sent before")]
    Forged,
    #[error("it sent something that makes no sense")]
    Malformed,
    #[error("it said nothing for too long")]
    Silence,
    #[error("too many wait to prove that they have the key")]
    Crowd,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Key,
        Self::Version,
        Self::Itself,
        Self::Length,
        Self::Forged,
        Self::Malformed,
        Self::Silence,
        Self::Crowd,
    ];

    /// For listings and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Version => "version",
            Self::Itself => "itself",
            Self::Length => "length",
            Self::Forged => "forged",
            Self::Malformed => "item",
            Self::Silence => "silence",
            Self::Crowd => "crowd",
        }
    }
}

/// Counts of all reasons.
#[derive(Debug, Default)]
pub(super) struct RefusalCounters([AtomicU64; Refusal::ALL.len()]);

impl RefusalCounters {
    /// Counts one.
    pub(super) fn count(&self, why: Refusal) {
        if let Some(counter) = self.0.get(why as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reasons that occurred.
    pub(super) fn list(&self) -> Vec<RefusalCount> {
        Refusal::ALL
            .into_iter()
            .zip(&self.0)
            .map(|(why, counter)| RefusalCount {
                name: why.name().to_owned(),
                count: counter.load(Ordering::Relaxed),
                explanation: why.to_string(),
            })
            .filter(|refusal| refusal.count > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_as_they_are_listed() {
        let refusals = RefusalCounters::default();
        for (number, why) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, number, "{why:?}");
        }
        refusals.count(Refusal::Forged);
        let listed = refusals.list();
        assert_eq!((listed.len(), &*listed[0].name), (1, "forged"));
    }
}
