//! The outcome of a probe as a message that names the server and the time.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use super::check::{Check, Kind};
use super::outcome::{Failure, Outcome};
use super::path::Path;
use super::probe::Found;
use super::probe::error::{is_own, reason};

/// Adds server and time to a finding.
pub(super) fn outcome(check: &Check, found: Found, took: Duration) -> Outcome {
    let asked = |address: SocketAddr| match check.kind {
        Kind::Ping { .. } => address.ip().to_string(),
        _ if address.port() == 0 => address.ip().to_string(),
        _ => address.to_string(),
    };
    let server = match check.path {
        Path::Own => asked(check.target),
        Path::Service { address, .. } => {
            format!("{} by way of {}", asked(address), check.target.ip())
        }
    };
    let good = found.is_ok();
    let own = |failure: &Failure| failure.io().is_some_and(is_own);
    let inconclusive = found.as_ref().err().is_some_and(own);
    Outcome {
        good,
        inconclusive,
        text: message(&server, found, took.as_millis()),
        took,
        exit_code: None,
    }
}

fn message(server: &str, found: Found, ms: u128) -> String {
    match found {
        Ok(found) => format!("{found} {} {server} after {ms} ms", preposition(&found)),
        Err(Failure::Io { awaited, source }) if source.kind() == ErrorKind::ConnectionRefused => {
            format!(
                "{awaited} {} {server} refused after {ms} ms",
                preposition(awaited)
            )
        }
        Err(Failure::Io { awaited, source }) => format!(
            "no {awaited} {} {server} after {ms} ms: {}",
            preposition(awaited),
            reason(&source)
        ),
        Err(Failure::Timeout { awaited, limit }) => format!(
            "no {awaited} {} {server} in {} ms",
            preposition(awaited),
            limit.as_millis()
        ),
        Err(Failure::Answer { found, expected }) => format!(
            "{found} {} {server} after {ms} ms, expected {expected}",
            preposition(&found)
        ),
        Err(failure @ Failure::TooLong { .. }) => format!("{failure} from {server} after {ms} ms"),
        Err(Failure::Elsewhere {
            server: other,
            failure,
        }) => message(&format!("{other} (asked for {server})"), Err(*failure), ms),
        Err(Failure::Own(reason)) => format!("{server} not probed: {reason}"),
    }
}

/// The preposition between a noun and the server.
fn preposition(noun: &str) -> &'static str {
    match noun {
        "connection" | "login" => "to",
        "TLS handshake" => "with",
        "no check" => "of",
        _ if noun.starts_with("exit code") => "for",
        _ => "from",
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn text(found: Found) -> String {
        message("10.0.10.2:80", found, 12)
    }

    #[test]
    fn every_message_names_the_server_and_the_time() {
        assert_eq!(
            text(Ok("HTTP 200".into())),
            "HTTP 200 from 10.0.10.2:80 after 12 ms"
        );
        assert_eq!(
            text(Ok("connection".into())),
            "connection to 10.0.10.2:80 after 12 ms"
        );
        assert_eq!(
            text(Err(Failure::answer("HTTP 503", "2xx"))),
            "HTTP 503 from 10.0.10.2:80 after 12 ms, expected 2xx"
        );
        let io = |awaited, number| {
            text(Err(Failure::Io {
                awaited,
                source: io::Error::from_raw_os_error(number),
            }))
        };
        assert_eq!(
            io("connection", libc::ECONNREFUSED),
            "connection to 10.0.10.2:80 refused after 12 ms"
        );
        assert_eq!(
            io("connection", libc::EHOSTUNREACH),
            "no connection to 10.0.10.2:80 after 12 ms: no route to host"
        );
        assert_eq!(
            io("greeting", libc::ECONNRESET),
            "no greeting from 10.0.10.2:80 after 12 ms: connection reset by peer"
        );
        assert_eq!(
            text(Err(Failure::closed("TLS handshake"))),
            "no TLS handshake with 10.0.10.2:80 after 12 ms: connection closed"
        );
        assert_eq!(
            text(Err(Failure::Timeout {
                awaited: "answer",
                limit: Duration::from_secs(2)
            })),
            "no answer from 10.0.10.2:80 in 2000 ms"
        );
        assert_eq!(
            text(Err(Failure::TooLong { limit: 512 })),
            "an answer of more than 512 bytes from 10.0.10.2:80 after 12 ms"
        );
        let other = Failure::closed("answer").of(SocketAddr::from(([10, 0, 10, 3], 81)));
        assert_eq!(
            text(Err(other)),
            "no answer from 10.0.10.3:81 (asked for 10.0.10.2:80) after 12 ms: connection closed"
        );
    }
}
