//! The outcome of a probe.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The outcome of a probe, with a message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The server passed the check.
    pub good: bool,
    /// The probe could not be made for a reason of the director's own (no descriptors, no memory, no
    /// such source address): it says nothing about the server, and `good` is false.
    pub inconclusive: bool,
    /// The answer, its server and its time, and the answer that was expected if it differs:
    /// `HTTP 503 from 10.0.10.2:80 after 12 ms, expected 2xx`.
    pub text: String,
    /// Time from the begin of the probe to its end.
    pub took: Duration,
    /// Exit code, of an external check that ended by itself.
    pub exit_code: Option<u8>,
}

impl Outcome {
    /// No good, for this reason.
    pub(crate) fn failed(text: String, took: Duration) -> Self {
        Self {
            good: false,
            inconclusive: false,
            text,
            took,
            exit_code: None,
        }
    }
}

/// The reason why a probe is no good; [`super::describe`] adds server and time.
///
/// `awaited` is a noun: `connection`, `TLS handshake`, `greeting`, `answer`.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It did not come, because the network or the server said so.
    #[error("no {awaited}: {source}")]
    Io {
        /// The thing that was waited for.
        awaited: &'static str,
        /// The reason why it does not come.
        source: io::Error,
    },
    /// It did not come in time.
    #[error("no {awaited} in {} ms", limit.as_millis())]
    Timeout {
        /// The thing that was waited for.
        awaited: &'static str,
        /// Time that it had.
        limit: Duration,
    },
    /// There was an answer other than the expected one. Both are phrases, with words of the server only as
    /// an [`excerpt`].
    #[error("{found}, expected {expected}")]
    Answer {
        /// The answer: `HTTP 503`.
        found: String,
        /// The good answers: `2xx`.
        expected: String,
    },
    /// The answer is longer than any that is read.
    #[error("an answer of more than {limit} bytes")]
    TooLong {
        /// Bytes that are read at most.
        limit: usize,
    },
    /// Another server failed, which the check asks or the server redirects to.
    #[error("{failure} ({server})")]
    Elsewhere {
        /// That server.
        server: SocketAddr,
        /// The reason why it is no good.
        failure: Box<Failure>,
    },
    /// The director itself cannot ask as the configuration wants it: `cannot read /etc/ca.pem: …`.
    #[error("{0}")]
    Own(String),
}

impl Failure {
    /// An answer other than the expected one.
    pub fn answer(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Answer {
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// The same, of this server.
    pub(crate) fn of(self, server: SocketAddr) -> Self {
        match self {
            Self::Own(_) | Self::Elsewhere { .. } => self,
            failure => Self::Elsewhere {
                server,
                failure: Box::new(failure),
            },
        }
    }

    /// The error of the system, if it is one.
    pub(crate) fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Elsewhere { failure, .. } => failure.io(),
            _ => None,
        }
    }

    /// The server ended the connection before it sent the thing that was awaited.
    pub fn closed(awaited: &'static str) -> Self {
        Self::Io {
            awaited,
            source: io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed"),
        }
    }
}

/// Characters of an answer that are repeated in a message.
const EXCERPT: usize = 80;

/// The beginning of an answer, as it may stand in a message: quoted, bounded, without
/// anything that a terminal or a log would not show as text.
pub fn excerpt(said: &[u8]) -> String {
    // A character has at most four bytes.
    let whole = said.len() <= 4 * EXCERPT;
    let said = String::from_utf8_lossy(&said[..said.len().min(4 * EXCERPT)]);
    let said = said.trim();
    let shown: String = said.chars().take(EXCERPT).collect();
    let more = if whole && shown.len() == said.len() {
        ""
    } else {
        "…"
    };
    let harmless: String = shown
        .chars()
        .flat_map(|char| {
            let plain = !char.is_control() && char != '\u{2028}' && char != '\u{2029}';
            let escaped = (!plain).then(|| char.escape_default());
            plain
                .then_some(char)
                .into_iter()
                .chain(escaped.into_iter().flatten())
        })
        .collect();
    format!("\"{harmless}{more}\"")
}

/// The beginning of an answer, after the name of what was answered: `answer to EHLO "250-mail.example"`.
pub fn phrase(awaited: &str, said: &str) -> String {
    format!("{awaited} {}", excerpt(said.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_harmless() {
        assert_eq!(excerpt(b" 220 ready \r\n"), "\"220 ready\"");
        assert_eq!(excerpt(b"a\x1b[31m\nb"), "\"a\\u{1b}[31m\\nb\"");
        assert_eq!(excerpt(&[0xff, b'x']), "\"\u{fffd}x\"");
        let long = excerpt("ü".repeat(1000).as_bytes());
        assert_eq!(long.chars().count(), EXCERPT + 3);
        assert!(long.ends_with("…\""));
    }
}
