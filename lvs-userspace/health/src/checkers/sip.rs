//! `service = sip`: OPTIONS has to be answered with 200 (RFC 3261, section 11).

use std::net::SocketAddr;

use crate::checker::{Checker, Failure, Found, Negotiate, Options, Probe};
use crate::options::own_mail_address;
use crate::outcome::excerpt;
use crate::probe::connection::Connection;
use crate::probe::datagram::{self, Sending};

/// Provisional answers that are skipped over TCP.
const PROVISIONAL: usize = 10;
/// Header lines of an answer over TCP.
const LINES: usize = 100;

/// A check of a SIP server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sip {
    /// User that is asked about, `user@host`.
    pub login: String,
    /// Over TCP.
    pub tcp: bool,
}

impl Sip {
    pub(super) fn make(options: &Options) -> Checker {
        let login = Some(&options.credentials.login).filter(|login| !login.is_empty());
        Self {
            login: login.cloned().unwrap_or_else(own_mail_address),
            tcp: options.tcp,
        }
        .into()
    }
}

impl Negotiate for Sip {
    fn name(&self) -> &'static str {
        "sip"
    }

    /// Asks for the server's abilities.
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let Self { login, tcp } = self;
        if login.contains(|char: char| char.is_control() || char == '>') {
            return Err(Failure::Own(format!("{login:?} is no login")));
        }
        let status = if *tcp {
            let mut connection = Connection::open(probe).await?;
            let local = connection.own_address().map_err(datagram::failure)?;
            let question = options(login, "TCP", local)?;
            connection.send(question.as_bytes()).await?;
            over_tcp(&mut connection).await?
        } else {
            let socket = datagram::open(probe).await?;
            let local = socket.local_addr().map_err(datagram::failure)?;
            let question = options(login, "UDP", local)?;
            let accept = |answer: &[u8]| {
                let line = answer.split(|byte| *byte == b'\n').next()?;
                let line = String::from_utf8_lossy(line).trim_end().to_owned();
                (!is_provisional(&line)).then_some(line)
            };
            datagram::ask(
                probe,
                &socket,
                question.as_bytes(),
                Sending::Repeated,
                accept,
            )
            .await?
        };
        let found = excerpt(status.as_bytes());
        match code(&status) {
            Some("200") => Ok(found),
            Some(_) => Err(Failure::answer(found, "SIP/2.0 200")),
            None => Err(Failure::answer(found, "an answer of SIP")),
        }
    }
}

/// The request. Its random parts identify its dialog and transaction, and make loops detectable (section
/// 8.1.1).
fn options(login: &str, transport: &str, local: SocketAddr) -> Result<String, Failure> {
    let mut random = [0; 12];
    getrandom::fill(&mut random).map_err(|error| Failure::Own(error.to_string()))?;
    let [branch, tag, call] = [0, 4, 8].map(|at| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|byte| random[at + byte]);
        u32::from_ne_bytes([a, b, c, d])
    });
    Ok(format!(
        "OPTIONS sip:{login} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} {local};branch=z9hG4bK{branch:08x}\r\n\
         Max-Forwards: 70\r\n\
         To: <sip:{login}>\r\n\
         From: <sip:{login}>;tag={tag:08x}\r\n\
         Call-ID: {call:08x}@{}\r\n\
         CSeq: 1 OPTIONS\r\n\
         Contact: <sip:{login}>\r\n\
         Accept: application/sdp\r\n\
         User-Agent: lvsd/{}\r\n\
         Content-Length: 0\r\n\r\n",
        local.ip(),
        env!("CARGO_PKG_VERSION"),
    ))
}

/// The status line of the final answer.
async fn over_tcp(connection: &mut Connection<'_>) -> Result<String, Failure> {
    for _ in 0..PROVISIONAL {
        let status = connection.line("answer").await?;
        if !is_provisional(&status) {
            return Ok(status);
        }
        let mut lines = 0;
        let mut length = 0;
        loop {
            let line = connection.line("rest of the answer").await?;
            lines += 1;
            if line.is_empty() || lines > LINES {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && matches!(
                    name.trim().to_ascii_lowercase().as_str(),
                    "content-length" | "l"
                )
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        connection.exactly(length, "rest of the answer").await?;
    }
    Err(Failure::answer("provisional answers", "SIP/2.0 200"))
}

/// The status code of a status line.
fn code(line: &str) -> Option<&str> {
    let mut words = line.splitn(3, ' ');
    let (version, code) = (words.next()?, words.next()?);
    let is_code = code.len() == 3 && code.bytes().all(|digit| digit.is_ascii_digit());
    (version.eq_ignore_ascii_case("SIP/2.0") && is_code).then_some(code)
}

fn is_provisional(line: &str) -> bool {
    code(line).is_some_and(|code| code.starts_with('1'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::net::UdpSocket;

    use super::*;
    use crate::testing::{assert_gives_up, assert_says, negotiate, serve};

    fn asking(tcp: bool) -> Sip {
        Sip {
            login: "lvs@example.com".to_owned(),
            tcp,
        }
    }

    /// Validates the request, and answers with this status after a provisional answer with a body.
    fn respond(question: &str, status: &str) -> String {
        let lines: Vec<&str> = question.split("\r\n").collect();
        assert_eq!(lines[0], "OPTIONS sip:lvs@example.com SIP/2.0");
        for header in [
            "Via: SIP/2.0/",
            "To: <sip:lvs@",
            "From: <sip:lvs@",
            "Call-ID: ",
            "CSeq: 1 OPTIONS",
            "Max-Forwards: 70",
        ] {
            assert!(
                lines.iter().any(|line| line.starts_with(header)),
                "{question}"
            );
        }
        format!("{status}\r\nContent-Length: 0\r\n\r\n")
    }

    const TRYING: &str = "SIP/2.0 100 Trying\r\nContent-Length: 5\r\n\r\nwait\n";

    async fn over_udp(status: &'static str) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut question = [0; 2000];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let question = std::str::from_utf8(&question[..length]).unwrap();
                assert!(question.contains(&format!("UDP {from};branch=z9hG4bK")));
                socket.send_to(TRYING.as_bytes(), from).await.ok();
                let answer = respond(question, status);
                socket.send_to(answer.as_bytes(), from).await.ok();
            }
        });
        server
    }

    async fn over_tcp(status: &'static str) -> SocketAddr {
        serve(move |mut stream| async move {
            let mut question = String::new();
            let mut reader = BufReader::new(&mut stream);
            while !question.ends_with("\r\n\r\n") {
                reader.read_line(&mut question).await.unwrap();
            }
            let answer = TRYING.to_owned() + &respond(&question, status);
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await
    }

    #[tokio::test]
    async fn options_have_to_be_answered_with_200() {
        for tcp in [false, true] {
            for (status, good, text) in [
                (
                    "SIP/2.0 200 OK",
                    true,
                    "\"SIP/2.0 200 OK\" from @ after N ms",
                ),
                (
                    "SIP/2.0 503 Busy",
                    false,
                    "\"SIP/2.0 503 Busy\" from @ after N ms, expected SIP/2.0 200",
                ),
                (
                    "HTTP/1.1 200 OK",
                    false,
                    "\"HTTP/1.1 200 OK\" from @ after N ms, expected an answer of SIP",
                ),
            ] {
                let server = if tcp {
                    over_tcp(status).await
                } else {
                    over_udp(status).await
                };
                let outcome = negotiate(asking(tcp), server).await;
                assert_says(&outcome, good, &text.replace('@', &server.to_string()));
            }
        }
    }

    #[tokio::test]
    async fn a_silent_server_is_given_up() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        assert_gives_up(asking(false), server, "answer from").await;
    }

    #[tokio::test]
    async fn provisional_answers_without_end_are_not_waited_through() {
        let server = serve(|mut stream| async move {
            while stream.write_all(TRYING.as_bytes()).await.is_ok() {}
        })
        .await;
        let outcome = negotiate(asking(true), server).await;
        let text = format!("provisional answers from {server} after N ms, expected SIP/2.0 200");
        assert_says(&outcome, false, &text);
    }

    #[tokio::test]
    async fn a_login_cannot_bring_headers() {
        let service = Sip {
            login: "a@b\r\nX: y".to_owned(),
            tcp: false,
        };
        let outcome = negotiate(service, "127.0.0.1:5060".parse().unwrap()).await;
        let text = "127.0.0.1:5060 not probed: \"a@b\\r\\nX: y\" is no login";
        assert_says(&outcome, false, text);
    }

    proptest! {
        #[test]
        fn no_status_line_does_harm(line in "(SIP/2.0 )?\\PC{0,20}") {
            is_provisional(&line);
        }
    }
}
