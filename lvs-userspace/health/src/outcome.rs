//! What a probe found.

use std::io;
use std::time::Duration;

/// What a probe found, with a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the server did what was asked of it.
    pub good: bool,
    /// The probe could not be made for a reason of the director's own (no descriptors, no memory, no
    /// such source address): it says nothing about the server, and `good` is false.
    pub inconclusive: bool,
    /// What was seen, from where and after what time, and what had been expected if it differs:
    /// `HTTP 503 from 10.0.10.2:80 after 12 ms, expected 2xx`.
    pub text: String,
    /// How long it took.
    pub took: Duration,
    /// Exit code, of an external check that ended by itself.
    pub exit_code: Option<u8>,
}

/// Why a probe is no good; [`super::probe`] makes an [`Outcome`] of it by adding server and time.
///
/// What is `awaited` is a noun: `connection`, `TLS handshake`, `greeting`, `answer`.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It did not come, because the network or the server said so.
    #[error("no {awaited}: {source}")]
    Io {
        /// What was waited for.
        awaited: &'static str,
        /// Why it will not come.
        source: io::Error,
    },
    /// It did not come in time.
    #[error("no {awaited} in {} ms", limit.as_millis())]
    Timeout {
        /// What was waited for.
        awaited: &'static str,
        /// How long.
        limit: Duration,
    },
    /// There was an answer, and it is not what was expected. Both are phrases; what comes from the
    /// server is in them only as an [`excerpt`].
    #[error("{found}, expected {expected}")]
    Answer {
        /// What there was: `HTTP 503`.
        found: String,
        /// What should have been: `2xx`.
        expected: String,
    },
    /// The answer is longer than any that is read.
    #[error("an answer of more than {limit} bytes")]
    TooLong {
        /// What is read at most.
        limit: usize,
    },
    /// The director itself cannot ask as the configuration wants it: `cannot read /etc/ca.pem: …`.
    #[error("{0}")]
    Own(String),
}

impl Failure {
    /// An answer that is not what was expected.
    pub fn answer(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Answer {
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// The server ended the connection before what was awaited had come.
    pub fn closed(awaited: &'static str) -> Self {
        Self::Io {
            awaited,
            source: io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed"),
        }
    }
}

/// Characters of an answer that are repeated in a sentence.
const EXCERPT: usize = 80;

/// The beginning of what a server said, as it may stand in a sentence: quoted, bounded, without
/// anything that a terminal or a log would take for more than text.
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
