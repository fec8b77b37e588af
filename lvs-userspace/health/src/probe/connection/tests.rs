use std::net::SocketAddr;

use super::*;
use crate::check::Kind;
use crate::probe::tls::Configurations;
use crate::testing::{check, serve};

/// A server that sends this and, with `hang_up`, ends the connection.
async fn sending(answer: &'static [u8], times: usize, hang_up: bool) -> SocketAddr {
    serve(move |mut stream| async move {
        for _ in 0..times {
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
        if !hang_up {
            stream.read_to_end(&mut Vec::new()).await.ok();
        }
    })
    .await
}

/// Does this with a connection.
async fn with<T>(server: SocketAddr, act: impl AsyncFnOnce(Connection<'_>) -> T) -> T {
    let endpoint = check(Kind::Connect, server).endpoint();
    let tls = Configurations::default();
    let probe = Probe::new(endpoint, &tls, None, None);
    act(Connection::open(&probe).await.unwrap()).await
}

#[tokio::test]
async fn lines_may_end_either_way_and_come_in_pieces() {
    let server = serve(|mut stream| async move {
        for piece in ["o", "ne\r", "\ntwo\nth", "ree \u{fc}\r\n\r\nrest"] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
    })
    .await;
    with(server, async |mut connection| {
        for expected in ["one", "two", "three \u{fc}", ""] {
            assert_eq!(connection.line("line").await.unwrap(), expected);
        }
        assert_eq!(&connection.exactly(2, "bytes").await.unwrap()[..], b"re");
        assert_eq!(connection.line_or_end("line").await.unwrap().unwrap(), "st");
        assert_eq!(connection.line_or_end("line").await.unwrap(), None);
        let failure = connection.line("line").await.unwrap_err();
        assert_eq!(failure.to_string(), "no line: connection closed");
    })
    .await;
}

#[tokio::test]
async fn a_line_without_end_is_refused() {
    let server = sending(b"aaaaaaaaaaaaaaaa", 1 << 20, true).await;
    with(server, async |mut connection| {
        let failure = connection.line("line").await.unwrap_err();
        assert_eq!(failure.to_string(), "an answer of more than 8192 bytes");
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_refused() {
    let server = sending(&[b'a'; 1024], 100 << 10, true).await;
    with(server, async |mut connection| {
        let failure = connection.rest(100_000, "answer").await.unwrap_err();
        assert_eq!(failure.to_string(), "an answer of more than 100000 bytes");
    })
    .await;
    with(server, async |mut connection| {
        let failure = connection.exactly(usize::MAX, "answer").await.unwrap_err();
        assert_eq!(failure.to_string(), "an answer of more than 2097152 bytes");
    })
    .await;
}

#[tokio::test]
async fn many_short_lines_are_too_long_together() {
    let server = sending(b"a line\r\n", 1 << 20, true).await;
    with(server, async |mut connection| {
        let mut lines = 0;
        let failure = loop {
            match connection.line("line").await {
                Ok(_) => lines += 1,
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure.to_string(), "an answer of more than 2097152 bytes");
        assert!(lines >= ANSWER / 8 - 1);
    })
    .await;
}

#[tokio::test]
async fn a_library_meets_the_same_bound() {
    let server = sending(&[b'a'; 1024], 100 << 10, true).await;
    with(server, async |mut connection| {
        // What was read ahead is not lost.
        connection.exactly(3, "answer").await.unwrap();
        let mut all = Vec::new();
        let error = AsyncReadExt::read_to_end(&mut connection, &mut all).await;
        let error = error.unwrap_err();
        assert_eq!(error.to_string(), "an answer of more than 2097152 bytes");
        // What goes beyond it is less than one reading.
        assert!((ANSWER - 3..2 * ANSWER).contains(&all.len()));
    })
    .await;
}

#[tokio::test]
async fn the_rest_is_all_until_the_end() {
    let server = sending(b"abc", 3, true).await;
    with(server, async |mut connection| {
        let rest = connection.rest(9, "answer").await.unwrap();
        assert_eq!(&rest[..], b"abcabcabc");
    })
    .await;
}

#[tokio::test]
async fn plain_text_is_not_taken_into_tls() {
    let server = sending(b"220 go ahead\r\n250 injected\r\n", 1, false).await;
    with(server, async |mut connection| {
        // Both lines are read at once, or the second one is what the handshake meets.
        connection.line("answer").await.unwrap();
        let failure = connection.start_tls(&Tls::default()).await.err().unwrap();
        let text = failure.to_string();
        assert!(
            text == "plain text before the TLS handshake, expected none"
                || text.contains("does not speak TLS"),
            "{text}"
        );
    })
    .await;
}
