//! `service = simpletcp`: a text is sent, and a line of the answer has to match.

use crate::checker::{Checker, Failure, Found, Lint, Negotiate, Options, Probe};
use crate::outcome::excerpt;
use crate::pattern::Pattern;
use crate::probe::connection::Connection;

/// A check of anything that answers with a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SimpleTcp {
    /// Text that is sent.
    pub request: String,
    /// Pattern that a line must match.
    pub receive: Option<Pattern>,
}

impl SimpleTcp {
    pub(super) fn make(options: &Options) -> Checker {
        Self {
            request: String::from_utf8_lossy(&options.unescaped_request("n")).into_owned(),
            receive: options.receive.clone(),
        }
        .into()
    }
}

impl Negotiate for SimpleTcp {
    fn name(&self) -> &'static str {
        "simpletcp"
    }

    /// Sends, ends the sending direction, and reads lines until one matches: without a pattern, any.
    ///
    /// With a negative pattern all lines are read, up to the end of the connection, and none may match.
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let receive = self.receive.as_ref();
        let mut connection = Connection::open(probe).await?;
        probe.awaits("answer");
        // A server may answer without being asked, and hang up: what it said is still there to be read.
        if connection.send(self.request.as_bytes()).await.is_ok() {
            connection.finish_sending().await.ok();
        }
        let expected = || receive.map_or_else(|| "a line".to_owned(), ToString::to_string);
        let mut last = None;
        while let Some(line) = connection.line_or_end("answer").await? {
            let as_expected = receive.is_none_or(|pattern| pattern.accepts(line.as_bytes()));
            let negative = receive.is_some_and(Pattern::is_negative);
            match (as_expected, negative) {
                (true, false) => return Ok(excerpt(line.as_bytes())),
                (false, true) => return Err(Failure::answer(excerpt(line.as_bytes()), expected())),
                (true, true) | (false, false) => last = Some(line),
            }
        }
        match last {
            Some(line) if receive.is_some_and(Pattern::is_negative) => Ok(excerpt(line.as_bytes())),
            Some(line) => Err(Failure::answer(excerpt(line.as_bytes()), expected())),
            None => Err(Failure::answer("an empty answer", expected())),
        }
    }

    fn lint(&self, lint: &mut Lint) {
        if self.receive.is_none() {
            lint.warn(
                "without receive any line is good",
                "add receive = \"pattern\"",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::SimpleTcp;
    use crate::pattern::Pattern;
    use crate::testing::{assert_says, negotiate, serve, serve_at};

    fn asking(request: &str, receive: Option<(&str, bool)>) -> SimpleTcp {
        SimpleTcp {
            request: request.to_owned(),
            receive: receive.map(|(text, negative)| Pattern::compile(text, negative).unwrap()),
        }
    }

    #[tokio::test]
    async fn a_line_of_the_answer_has_to_match() {
        // Answers only after the end of the question.
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let server = serve_at(address, |mut stream| async move {
                let mut question = Vec::new();
                stream.read_to_end(&mut question).await.unwrap();
                stream.write_all(b"you said\r\n").await.unwrap();
                stream.write_all(&question).await.unwrap();
            })
            .await;
            for (receive, good, text) in [
                (
                    Some(("^hel+o$", false)),
                    true,
                    "\"hello\" from @ after N ms",
                ),
                (None, true, "\"you said\" from @ after N ms"),
                (
                    Some(("bye", false)),
                    false,
                    "\"hello\" from @ after N ms, expected \"bye\"",
                ),
                (Some(("bye", true)), true, "\"hello\" from @ after N ms"),
                (
                    Some(("said", true)),
                    false,
                    "\"you said\" from @ after N ms, expected not \"said\"",
                ),
            ] {
                let outcome = negotiate(asking("hello", receive), server).await;
                assert_says(&outcome, good, &text.replace('@', &server.to_string()));
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_down() {
        let server = serve(|mut stream| async move {
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        })
        .await;
        let outcome = negotiate(asking("hello", None), server).await;
        let text = format!("an empty answer from {server} after N ms, expected a line");
        assert_says(&outcome, false, &text);
    }
}
