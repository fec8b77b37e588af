//! `service = redis`: a command whose reply has to match (RESP, version 2).

use std::pin::Pin;

use crate::checker::{Checker, Failure, Found, Negotiate, Options, Probe};
use crate::credentials::Credentials;
use crate::outcome::excerpt;
use crate::pattern::Pattern;
use crate::probe::connection::{ANSWER, Connection};

/// Arrays within arrays.
const DEPTH: usize = 8;
/// Elements of all arrays of a reply together.
const ELEMENTS: usize = 100_000;

/// A check that sends a command to Redis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redis {
    /// The login; an empty password: none.
    pub credentials: Credentials,
    /// The command; empty: `PING`.
    pub request: String,
    /// Pattern that the answer must match; none: any but an error.
    pub receive: Option<Pattern>,
}

impl Redis {
    pub(super) fn make(options: &Options) -> Checker {
        Self {
            credentials: options.credentials.clone(),
            request: options.bare_request().to_owned(),
            receive: options.receive.clone(),
        }
        .into()
    }
}

impl Negotiate for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    /// Logs in if there is a password, and sends the command.
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let mut connection = Connection::open(probe).await?;
        if !self.credentials.password.is_empty() {
            let mut words = vec!["AUTH"];
            if !self.credentials.login.is_empty() {
                words.push(&self.credentials.login);
            }
            words.push(&self.credentials.password);
            let reply = ask(&mut connection, &words).await?;
            if reply.error {
                return Err(Failure::answer(excerpt(reply.text.as_bytes()), "a login"));
            }
        }
        let mut words: Vec<&str> = self.request.split_whitespace().collect();
        if words.is_empty() {
            words.push("PING");
        }
        let reply = ask(&mut connection, &words).await?;
        let found = excerpt(reply.text.as_bytes());
        match &self.receive {
            None if reply.error => Err(Failure::answer(found, "no error")),
            // An error is no proof that something is absent.
            Some(pattern) if reply.error && pattern.is_negative() => {
                Err(Failure::answer(found, pattern.to_string()))
            }
            Some(pattern) if !pattern.accepts(reply.text.as_bytes()) => {
                Err(Failure::answer(found, pattern.to_string()))
            }
            _ => Ok(found),
        }
    }
}

/// A reply: elements of arrays are lines.
#[derive(Debug, Default)]
struct Reply {
    text: String,
    error: bool,
}

async fn ask(connection: &mut Connection<'_>, words: &[&str]) -> Result<Reply, Failure> {
    let count = format!("*{}\r\n", words.len());
    let words = words
        .iter()
        .map(|word| format!("${}\r\n{word}\r\n", word.len()));
    let command: String = [count].into_iter().chain(words).collect();
    connection.send(command.as_bytes()).await?;
    let mut reply = Reply::default();
    let mut elements = ELEMENTS;
    read(connection, &mut reply, &mut elements, DEPTH).await?;
    Ok(reply)
}

/// Reads one value, and those in it.
fn read<'a>(
    connection: &'a mut Connection<'_>,
    reply: &'a mut Reply,
    elements: &'a mut usize,
    depth: usize,
) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>> {
    Box::pin(async move {
        let line = connection.line("answer").await?;
        let unknown = || Failure::answer(excerpt(line.as_bytes()), "an answer of Redis");
        let mut kind = line.chars();
        let kind = kind.next();
        let rest = line.get(1..).unwrap_or_default();
        match kind {
            Some('+' | ':') => push(reply, rest),
            Some('-') => {
                reply.error = true;
                push(reply, rest);
            }
            Some('$') => match rest.parse::<i64>() {
                Ok(-1) => push(reply, ""),
                length => {
                    let length = length.ok().and_then(|length| usize::try_from(length).ok());
                    let length = length.ok_or_else(unknown)?;
                    if length > ANSWER {
                        return Err(Failure::TooLong { limit: ANSWER });
                    }
                    let text = connection.exactly(length + 2, "rest of the answer").await?;
                    push(reply, &String::from_utf8_lossy(&text[..length]));
                }
            },
            Some('*') => {
                let count = rest.parse::<i64>().map_err(|_| unknown())?;
                if depth == 0 {
                    return Err(unknown());
                }
                for _ in 0..count {
                    *elements = elements.checked_sub(1).ok_or_else(|| {
                        Failure::answer(format!("more than {ELEMENTS} elements"), "fewer")
                    })?;
                    read(connection, reply, elements, depth - 1).await?;
                }
            }
            _ => return Err(unknown()),
        }
        Ok(())
    })
}

fn push(reply: &mut Reply, text: &str) {
    if !reply.text.is_empty() {
        reply.text.push('\n');
    }
    reply.text.push_str(text);
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::testing::{assert_gives_up, assert_says, negotiate, serve};

    fn asking(request: &str, receive: Option<&str>, password: &str) -> Redis {
        Redis {
            credentials: Credentials {
                login: String::new(),
                password: password.to_owned(),
            },
            request: request.to_owned(),
            receive: receive.map(|text| Pattern::compile(text, false).unwrap()),
        }
    }

    /// Says this to the first thing it is asked, and hangs up.
    async fn saying(answer: impl Into<Vec<u8>>) -> SocketAddr {
        let answer: Arc<[u8]> = answer.into().into();
        serve(move |mut stream| {
            let answer = Arc::clone(&answer);
            async move {
                stream.read_u8().await.ok();
                stream.write_all(&answer).await.ok();
                stream.shutdown().await.ok();
                stream.read_to_end(&mut Vec::new()).await.ok();
            }
        })
        .await
    }

    #[tokio::test]
    async fn replies_of_every_type_are_read() {
        for (answer, receive, good, text) in [
            ("+PONG\r\n", None, true, "\"PONG\" from @ after N ms"),
            (":42\r\n", Some("^42$"), true, "\"42\" from @ after N ms"),
            (
                "$11\r\nrole:master\r\n",
                Some("role:master"),
                true,
                "\"role:master\" from @ after N ms",
            ),
            ("$-1\r\n", None, true, "\"\" from @ after N ms"),
            (
                "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
                Some("^a\n1$"),
                true,
                "\"a\\n1\" from @ after N ms",
            ),
            (
                "-LOADING Redis is loading\r\n",
                None,
                false,
                "\"LOADING Redis is loading\" from @ after N ms, expected no error",
            ),
            (
                "-NOAUTH who?\r\n",
                Some("^NOAUTH"),
                true,
                "\"NOAUTH who?\" from @ after N ms",
            ),
            (
                "+PONG\r\n",
                Some("x"),
                false,
                "\"PONG\" from @ after N ms, expected \"x\"",
            ),
            (
                "HTTP/1.1 400 Bad\r\n",
                None,
                false,
                "\"HTTP/1.1 400 Bad\" from @ after N ms, expected an answer of Redis",
            ),
            (
                "$4\r\nab",
                None,
                false,
                "no rest of the answer from @ after N ms: connection closed",
            ),
            (
                "",
                None,
                false,
                "no answer from @ after N ms: connection closed",
            ),
            (
                "$99999999\r\n",
                None,
                false,
                "an answer of more than 2097152 bytes from @ after N ms",
            ),
            (
                "$-2\r\n",
                None,
                false,
                "\"$-2\" from @ after N ms, expected an answer of Redis",
            ),
        ] {
            let server = saying(answer).await;
            let outcome = negotiate(asking("", receive, ""), server).await;
            assert_says(&outcome, good, &text.replace('@', &server.to_string()));
        }
    }

    #[tokio::test]
    async fn arrays_are_bounded() {
        let deep = saying("*1\r\n".repeat(100_000)).await;
        let outcome = negotiate(asking("", None, ""), deep).await;
        assert!(!outcome.good, "{}", outcome.text);
        let long = saying(format!("*1000000000\r\n{}", ":1\r\n".repeat(ELEMENTS + 1))).await;
        let outcome = negotiate(asking("", None, ""), long).await;
        assert_says(
            &outcome,
            false,
            &format!("more than 100000 elements from {long} after N ms, expected fewer"),
        );
    }

    #[tokio::test]
    async fn a_password_is_given_first() {
        let server = serve(|mut stream| async move {
            let expected = b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n";
            let mut question = vec![0; expected.len()];
            stream.read_exact(&mut question).await.unwrap();
            if question != expected {
                stream.write_all(b"-WRONGPASS no\r\n").await.unwrap();
                return;
            }
            stream.write_all(b"+OK\r\n").await.unwrap();
            let expected = b"*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n";
            let mut question = vec![0; expected.len()];
            stream.read_exact(&mut question).await.unwrap();
            assert_eq!(question, expected);
            stream.write_all(b"$4\r\nfine\r\n").await.unwrap();
        })
        .await;
        let outcome = negotiate(asking("INFO replication", None, "secret"), server).await;
        assert_says(
            &outcome,
            true,
            &format!("\"fine\" from {server} after N ms"),
        );
        let outcome = negotiate(asking("INFO replication", None, "sesame"), server).await;
        let text = format!("\"WRONGPASS no\" from {server} after N ms, expected a login");
        assert_says(&outcome, false, &text);
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_given_up() {
        let server = serve(|mut stream| async move {
            stream.read_to_end(&mut Vec::new()).await.ok();
        })
        .await;
        assert_gives_up(asking("", None, ""), server, "answer from").await;
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
        #[test]
        fn no_answer_does_harm(bytes in prop::collection::vec(
            prop_oneof![prop::sample::select(b"*$+-:019\r\n".to_vec()), any::<u8>()], 0..100,
        )) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = saying(bytes).await;
                negotiate(asking("", None, ""), server).await;
            });
        }
    }
}
