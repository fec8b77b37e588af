//! `service = udp`: a payload is sent, and the answer has to match.

use tokio::time::timeout;

use crate::checker::{Checker, Failure, Found, Negotiate, Options, Probe};
use crate::outcome::excerpt;
use crate::path::Endpoint;
use crate::pattern::Pattern;
use crate::probe::datagram::{self, Sending};

/// A check of anything that answers a datagram.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Udp {
    /// Bytes that are sent.
    pub payload: Vec<u8>,
    /// Pattern that the answer must match; none: the port must not be refused.
    pub receive: Option<Pattern>,
}

impl Udp {
    pub(super) fn make(options: &Options) -> Checker {
        Self {
            payload: options.unescaped_request("nrt0x\\"),
            receive: options.receive.clone(),
        }
        .into()
    }
}

impl Negotiate for Udp {
    /// The effect of the payload is not known.
    const REPEATABLE: bool = false;

    fn name(&self) -> &'static str {
        "udp"
    }

    /// With a pattern, the first answer has to match. Without one it is enough that the port is not
    /// refused: any answer will do, and so will silence for as long as a connection may take.
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let socket = datagram::open(probe).await?;
        let accept = |answer: &[u8]| Some(answer.to_vec());
        let asking = datagram::ask(probe, &socket, &self.payload, Sending::Once, accept);
        let Some(pattern) = &self.receive else {
            // Less than the whole, which would be a failure.
            let Endpoint {
                connect_timeout,
                timeout: whole,
                ..
            } = probe.endpoint;
            return match timeout(connect_timeout.min(whole / 10 * 9), asking).await {
                Ok(answer) => Ok(excerpt(&answer?)),
                Err(_) => Ok("no refusal".to_owned()),
            };
        };
        let answer = asking.await?;
        let found = excerpt(&answer);
        if pattern.accepts(&answer) {
            Ok(found)
        } else {
            Err(Failure::answer(found, pattern.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::net::UdpSocket;

    use super::*;
    use crate::check::{Check, Kind};
    use crate::prober::Prober;
    use crate::testing::{assert_gives_up, assert_says, check, negotiate};

    /// Answers what it gets, doubled; nothing to an empty payload.
    async fn server(address: &str) -> SocketAddr {
        let socket = UdpSocket::bind(address).await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut question = [0; 2000];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                if length > 0 {
                    let answer = question[..length].repeat(2);
                    socket.send_to(&answer, from).await.ok();
                }
            }
        });
        address
    }

    fn asking(payload: &[u8], receive: Option<&str>) -> Udp {
        Udp {
            payload: payload.to_vec(),
            receive: receive.map(|text| Pattern::compile(text, false).unwrap()),
        }
    }

    #[tokio::test]
    async fn the_answer_has_to_match() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let server = server(address).await;
            let outcome = negotiate(asking(b"ab", Some("^abab$")), server).await;
            assert_says(
                &outcome,
                true,
                &format!("\"abab\" from {server} after N ms"),
            );
            let outcome = negotiate(asking(b"ab", Some("c")), server).await;
            let text = format!("\"abab\" from {server} after N ms, expected \"c\"");
            assert_says(&outcome, false, &text);
        }
    }

    #[tokio::test]
    async fn a_huge_answer_is_cut() {
        let server = server("127.0.0.1:0").await;
        let outcome = negotiate(asking(&[b'x'; 2000], Some("^x{4000}$")), server).await;
        assert!(outcome.good, "{}", outcome.text);
        assert!(outcome.text.chars().count() < 150, "{}", outcome.text);
    }

    #[tokio::test]
    async fn a_closed_port_is_down() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let closed = UdpSocket::bind(address)
                .await
                .unwrap()
                .local_addr()
                .unwrap();
            for receive in [None, Some("x")] {
                let outcome = negotiate(asking(b"ab", receive), closed).await;
                let text = format!("no answer from {closed} after N ms: port unreachable");
                assert_says(&outcome, false, &text);
            }
        }
    }

    #[tokio::test]
    async fn silence_is_good_only_if_nothing_is_expected() {
        let server = server("127.0.0.1:0").await;
        let silent = Check {
            connect_timeout: Duration::from_millis(100),
            ..check(Kind::Negotiate(asking(b"", None).into()), server)
        };
        let outcome = Prober::default().run(&silent).await;
        assert_says(
            &outcome,
            true,
            &format!("no refusal from {server} after N ms"),
        );
        assert_gives_up(asking(b"", Some("x")), server, "answer from").await;
    }
}
