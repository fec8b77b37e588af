//! What a probe found.

use std::time::Duration;

/// What a probe found, with a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the server did what was asked of it.
    pub good: bool,
    /// What was seen, from where and after what time, and what had been expected if it differs:
    /// `HTTP 503 from 10.0.10.2:80 after 12 ms, expected 2xx`.
    pub text: String,
    /// How long it took.
    pub took: Duration,
    /// Exit code, of an external check that ended by itself.
    pub exit_code: Option<u8>,
}

/// Why a probe is no good; completed to an [`Outcome`] by [`super::probe::run`].
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody could be reached.
    #[error("{what} failed: {source}")]
    Io {
        /// What was being done: `connection`, `TLS handshake`, `reading the greeting`.
        what: &'static str,
        /// Why it could not be.
        source: std::io::Error,
    },
    /// A step took longer than it may.
    #[error("no {awaited} in {} ms", limit.as_millis())]
    Timeout {
        /// What did not come: `connection`, `answer`.
        awaited: &'static str,
        /// How long was waited for it.
        limit: Duration,
    },
    /// There was an answer, and it is not what was expected; a whole phrase, `HTTP 503, expected 2xx`.
    #[error("{0}")]
    Answer(String),
    /// The answer is longer than any that is read.
    #[error("an answer of more than {limit} bytes")]
    TooLong {
        /// What is read at most.
        limit: usize,
    },
}
