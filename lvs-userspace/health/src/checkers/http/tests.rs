use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use proptest::prelude::*;

use super::*;
use crate::credentials::Credentials;
use crate::outcome::Outcome;
use crate::pattern::Pattern;
use crate::testing::{assert_gives_up, assert_says, negotiate, serve, serve_at};

fn get(request: &str) -> Http {
    Http {
        method: "GET".to_owned(),
        request: request.to_owned(),
        virtual_host: None,
        status: vec![],
        receive: None,
        credentials: Credentials::default(),
        redirects: 7,
        limits: Limits::default(),
        tls: None,
    }
}

fn expecting(pattern: &str, negative: bool) -> Http {
    Http {
        receive: Some(Pattern::compile(pattern, negative).unwrap()),
        ..get("/")
    }
}

/// Reads a request's head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A server that always answers the same, and hangs up.
async fn saying(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer: Arc<[u8]> = answer.into().into();
    serve(move |mut stream| {
        let answer = Arc::clone(&answer);
        async move {
            head(&mut stream).await;
            stream.write_all(&answer).await.ok();
        }
    })
    .await
}

/// A server that answers with the request it has got.
async fn echo(address: &str) -> SocketAddr {
    serve_at(address, |mut stream| async move {
        let head = head(&mut stream).await;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}",
            head.len()
        );
        stream.write_all(answer.as_bytes()).await.ok();
    })
    .await
}

async fn found(http: Http, answer: impl Into<Vec<u8>>) -> (Outcome, SocketAddr) {
    let server = saying(answer).await;
    (negotiate(http, server).await, server)
}

#[tokio::test]
async fn the_status_decides() {
    for (status, wanted, good, rest) in [
        (200, vec![], true, ""),
        (204, vec![], true, ""),
        (503, vec![], false, ", expected 2xx"),
        (404, vec![], false, ", expected 2xx"),
        (304, vec![], false, ", expected 2xx"),
        (401, vec![200..=299, 401..=401], true, ""),
        (301, vec![301..=302], true, ""),
        (
            200,
            vec![300..=399, 401..=401, 500..=502],
            false,
            ", expected 3xx or 401 or 500 to 502",
        ),
    ] {
        let http = Http {
            status: wanted,
            ..get("/")
        };
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nLocation: /\r\n\r\n");
        let (outcome, server) = found(http, answer).await;
        let text = format!("HTTP {status} from {server} after N ms{rest}");
        assert_says(&outcome, good, &text);
    }
}

#[tokio::test]
async fn the_body_has_to_match() {
    let answer = "HTTP/1.1 200 OK\r\n\r\n<p>Still alive</p>\n";
    for (http, good, text) in [
        (
            expecting("Still +alive", false),
            true,
            "HTTP 200 from @ after N ms",
        ),
        (
            expecting("dead", false),
            false,
            "HTTP 200 with \"<p>Still alive</p>\" from @ after N ms, expected \"dead\"",
        ),
        (expecting("dead", true), true, "HTTP 200 from @ after N ms"),
        (
            expecting("alive", true),
            false,
            "HTTP 200 with \"<p>Still alive</p>\" from @ after N ms, expected not \"alive\"",
        ),
    ] {
        let (outcome, server) = found(http, answer).await;
        assert_says(&outcome, good, &text.replace('@', &server.to_string()));
    }
}

#[tokio::test]
async fn what_is_sent_is_what_ldirectord_sends() {
    for (address, virtual_host, host) in [
        ("127.0.0.1:0", None, "127\\.0\\.0\\.1"),
        ("[::1]:0", None, "\\[::1\\]"),
        (
            "127.0.0.1:0",
            Some("www.example.com"),
            "www\\.example\\.com",
        ),
    ] {
        let server = echo(address).await;
        for method in ["GET", "HEAD"] {
            let http = Http {
                method: method.to_owned(),
                virtual_host: virtual_host.map(str::to_owned),
                credentials: Credentials {
                    login: "Aladdin".to_owned(),
                    password: "open sesame".to_owned(),
                },
                // The answer to HEAD has no body.
                receive: (method == "GET").then(|| {
                    let expression = format!(
                        "(?s)^GET /a\\?b=c HTTP/1\\.1\\r\\n(?=.*Host: {host}\\r\\n)\
                         (?=.*User-Agent: lvsd/)\
                         (?=.*Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\\r\\n)"
                    );
                    Pattern::compile(&expression, false).unwrap()
                }),
                ..get("a?b=c#d")
            };
            let outcome = negotiate(http, server).await;
            assert_says(
                &outcome,
                true,
                &format!("HTTP 200 from {server} after N ms"),
            );
        }
    }
}

#[tokio::test]
async fn redirects_are_followed_to_their_end() {
    let server = serve(|mut stream| async move {
        let head = head(&mut stream).await;
        let answer = match head.split(' ').nth(1) {
            Some("/") => "HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n",
            Some("/next") => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            _ => "HTTP/1.1 301 Moved\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n",
        };
        stream.write_all(answer.as_bytes()).await.ok();
    })
    .await;
    let outcome = negotiate(get("/"), server).await;
    let text = format!("HTTP 200 (redirected to \"/next\") from {server} after N ms");
    assert_says(&outcome, true, &text);

    let outcome = negotiate(get("/loop"), server).await;
    let text = format!("HTTP 301 (redirected to \"/loop\") from {server} after N ms, expected 2xx");
    assert_says(&outcome, false, &text);

    let http = Http {
        redirects: 0,
        ..get("/")
    };
    let outcome = negotiate(http, server).await;
    assert_says(
        &outcome,
        false,
        &format!("HTTP 302 from {server} after N ms, expected 2xx"),
    );
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_the_outcome() {
    for location in ["mailto:a@example.com", "http://", "\u{1}"] {
        let answer = format!("HTTP/1.1 302 X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let (outcome, _) = found(get("/"), answer).await;
        assert!(!outcome.good, "{}", outcome.text);
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let other = echo("127.0.0.2:0").await;
    let answer =
        format!("HTTP/1.1 302 X\r\nLocation: http://{other}/\r\nContent-Length: 0\r\n\r\n");
    let http = Http {
        credentials: Credentials {
            login: "a".to_owned(),
            password: "b".to_owned(),
        },
        ..expecting("(?i)authorization", true)
    };
    let (outcome, _) = found(http, answer).await;
    assert!(outcome.good, "{}", outcome.text);
}

#[tokio::test]
async fn a_whole_url_is_asked_of_its_own_host() {
    let other = echo("127.0.0.2:0").await;
    let http = Http {
        request: format!("http://{other}/x"),
        ..expecting(&format!("GET /x .*(?s).*Host: {other}"), false)
    };
    let (outcome, server) = found(http, "").await;
    assert_says(
        &outcome,
        true,
        &format!("HTTP 200 from {server} after N ms"),
    );
}

#[tokio::test]
async fn a_proxy_is_told_the_whole_url() {
    let proxy = echo("127.0.0.1:0").await;
    let http = Http {
        request: "http://www.example.com/x?y".to_owned(),
        ..expecting(
            "GET http://www.example.com/x\\?y HTTP(?s).*Host: www.example.com\r\n",
            false,
        )
    };
    let outcome = negotiate(HttpProxy(http), proxy).await;
    assert_says(&outcome, true, &format!("HTTP 200 from {proxy} after N ms"));

    let outcome = negotiate(HttpProxy(get("/x")), proxy).await;
    let text = format!("{proxy} not probed: \"/x\" is no URL to ask a proxy for");
    assert_says(&outcome, false, &text);
}

#[tokio::test]
async fn a_proxy_that_refuses_a_tunnel_is_down() {
    let proxy = saying("HTTP/1.1 403 Forbidden\r\n\r\n").await;
    let http = get("https://www.example.com/");
    let outcome = negotiate(HttpProxy(http), proxy).await;
    let text = format!("HTTP \"403\" from {proxy} after N ms, expected a tunnel");
    assert_says(&outcome, false, &text);
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_told_so() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 9999 X\r\n\r\n",
        "\0\u{1}\u{2}\r\n\r\n",
    ] {
        let (outcome, server) = found(get("/"), answer).await;
        let text = format!("something else from {server} after N ms, expected HTTP/1.1");
        assert_says(&outcome, false, &text);
    }
    let (outcome, server) = found(get("/"), "").await;
    let text = format!("no answer from {server} after N ms: connection closed");
    assert_says(&outcome, false, &text);
}

#[tokio::test]
async fn an_answer_without_a_head_is_good_if_it_is_the_expected_text() {
    let (outcome, server) = found(expecting("^OK$", false), "OK\n").await;
    let text = format!("an answer without a head from {server} after N ms");
    assert_says(&outcome, true, &text);
    let with_status = Http {
        status: vec![200..=299],
        ..expecting("^OK$", false)
    };
    for (http, answer) in [
        (get("/"), "OK\n"),
        (with_status, "OK\n"),
        (expecting("^OK$", true), "busy\n"),
        (expecting("^OK$", false), "busy\n"),
        (expecting("^OK$", false), "\x15\x03\x01\x00\x02\x02\x0a"),
        (expecting("^OK$", false), "SSH-2.0-OpenSSH_9.2\r\n"),
    ] {
        let (outcome, server) = found(http, answer).await;
        let text = format!("something else from {server} after N ms, expected HTTP/1.1");
        assert_says(&outcome, false, &text);
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut() {
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "X-A: b\r\n".repeat(100_000));
    let (outcome, server) = found(get("/"), endless).await;
    assert!(!outcome.good, "{}", outcome.text);
    assert!(
        outcome.text.contains(&server.to_string()),
        "{}",
        outcome.text
    );
}

#[tokio::test]
async fn folded_and_strange_header_lines_are_read_over() {
    for lines in [
        "X-Note: one\r\n two\r\n",
        "X-Note: one\r\n\ttwo\r\n\tthree\r\n",
        "X-Note : one\r\n",
        "no header at all\r\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nOK");
        let (outcome, server) = found(expecting("^OK$", false), answer).await;
        assert_says(
            &outcome,
            true,
            &format!("HTTP 200 from {server} after N ms"),
        );
    }
}

#[tokio::test]
async fn the_limits_of_an_answer_are_options() {
    let with = |head, body| Http {
        limits: Limits { head, body },
        ..expecting("end$", false)
    };
    let long_head = format!("HTTP/1.1 200 OK\r\n{}\r\nend", "X-A: b\r\n".repeat(12_000));
    assert!(
        !found(expecting("end$", false), long_head.clone())
            .await
            .0
            .good
    );
    let (outcome, server) = found(with(1 << 20, 1 << 10), long_head).await;
    let text = format!(
        "a head of more than 1048576 bytes or 8192 lines from {server} after N ms, expected a shorter one"
    );
    assert_says(&outcome, false, &text);
    let many_lines = format!("HTTP/1.1 200 OK\r\n{}\r\nend", "X-A: b\r\n".repeat(500));
    let (outcome, server) = found(expecting("end$", false), many_lines).await;
    assert_says(
        &outcome,
        true,
        &format!("HTTP 200 from {server} after N ms"),
    );
    let one_line = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\nend", "b".repeat(300_000));
    assert!(
        !found(expecting("end$", false), one_line.clone())
            .await
            .0
            .good
    );
    let (outcome, server) = found(with(1 << 20, 1 << 10), one_line).await;
    assert_says(
        &outcome,
        true,
        &format!("HTTP 200 from {server} after N ms"),
    );

    let long_body = format!("HTTP/1.1 200 OK\r\n\r\n{}end", ".".repeat(3 << 20));
    assert!(
        !found(expecting("end$", false), long_body.clone())
            .await
            .0
            .good
    );
    let (outcome, server) = found(with(64 << 10, 4 << 20), long_body).await;
    assert_says(
        &outcome,
        true,
        &format!("HTTP 200 from {server} after N ms"),
    );
}

#[tokio::test]
async fn a_reset_in_the_middle_is_down() {
    let server = serve(|mut stream| async move {
        head(&mut stream).await;
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    })
    .await;
    let outcome = negotiate(get("/"), server).await;
    let text = format!("no rest of the answer from {server} after N ms: connection reset by peer");
    assert_says(&outcome, false, &text);
}

#[tokio::test]
async fn an_end_in_the_middle_is_down() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let (outcome, server) = found(get("/"), half).await;
    let text = format!("no rest of the answer from {server} after N ms: connection closed");
    assert_says(&outcome, false, &text);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = serve(|mut stream| async move {
        head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_gives_up(get("/"), server, "answer from").await;
}

#[tokio::test]
async fn an_endless_drip_ends_with_the_timeout() {
    let server = serve(|mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_gives_up(get("/"), server, "rest of the answer from").await;
}

/// Sends a hundred megabytes; counts what got out.
async fn huge() -> (SocketAddr, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let server = serve(move |mut stream| {
        let sent = Arc::clone(&counter);
        async move {
            head(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\nfirst";
            stream.write_all(head).await.unwrap();
            let block = vec![b'.'; 1 << 16];
            for _ in 0..1600 {
                if stream.write_all(&block).await.is_err() {
                    break;
                }
                sent.fetch_add(1 << 16, Ordering::Relaxed);
            }
        }
    })
    .await;
    (server, sent)
}

#[tokio::test]
async fn of_a_huge_body_only_the_beginning_is_read() {
    let (server, sent) = huge().await;
    let outcome = negotiate(expecting("^first", false), server).await;
    assert_says(
        &outcome,
        true,
        &format!("HTTP 200 from {server} after N ms"),
    );
    let outcome = negotiate(expecting("last", false), server).await;
    assert!(!outcome.good, "{}", outcome.text);
    assert!(
        outcome.text.contains("the first 1048576 bytes \"first...."),
        "{}",
        outcome.text
    );
    // Each connection's buffers in the kernel hold a few megabytes of what is not read.
    assert!(sent.load(Ordering::Relaxed) < 50 << 20);
}

/// What servers send, and bytes that none does.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let parts = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 999 \r\n",
        "HTTP/1.1 302 Found\r\nLocation: /\r\n",
        "Location: http://[::1\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Set-Cookie: a=b\r\n",
        "\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "hello",
    ];
    let part = prop_oneof![
        6 => proptest::sample::select(parts.to_vec()).prop_map(|part| part.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
    #[test]
    fn no_answer_does_harm(answer in answer()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            found(expecting("hello", false), answer).await;
        });
    }
}

/// A server that says this before it is asked, and resets the connection.
async fn resetting(said: &'static [u8]) -> SocketAddr {
    serve(move |mut stream| async move {
        stream.write_all(said).await.unwrap();
        // It may have been asked, or not yet.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..3))).await;
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    })
    .await
}

#[tokio::test]
async fn a_connection_that_ends_is_told_as_what_happened() {
    // An HTTP client that asks, a reset, and TLS's alert for a handshake failure.
    for said in [b"".as_slice(), b"\x15\x03\x03\x00\x02\x02\x28"] {
        let server = resetting(said).await;
        for _ in 0..100 {
            let text = negotiate(get("/"), server).await.text;
            let possible = [
                "connection reset by peer",
                "connection closed",
                "broken pipe",
                "expected HTTP/1.1",
                "expected one after it",
                "not connected",
            ];
            assert!(
                text.contains(&server.to_string())
                    && possible.iter().any(|it| text.ends_with(it))
                    && !text.contains('"'),
                "{text}"
            );
        }
    }
    let alert = serve(|mut stream| async move {
        stream
            .write_all(b"\x15\x03\x03\x00\x02\x02\x28")
            .await
            .unwrap();
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let https = Http {
        tls: Some(crate::probe::tls::Tls::default()),
        ..get("/")
    };
    let expected = format!(
        "no TLS handshake with {alert} after N ms: the server refused it by the TLS alert \"handshake failure\""
    );
    assert_says(&negotiate(https.clone(), alert).await, false, &expected);
    let plain = serve(|mut stream| async move {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let expected =
        format!("no TLS handshake with {plain} after N ms: the server does not speak TLS");
    assert_says(&negotiate(https, plain).await, false, &expected);
}

#[tokio::test]
async fn a_host_that_is_not_the_server_is_named() {
    let server = saying("HTTP/1.1 302 Found\r\nLocation: http://nowhere.invalid/\r\n\r\n").await;
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = refused.local_addr().unwrap();
    drop(refused);
    let text = negotiate(get(&format!("http://{other}/")), server)
        .await
        .text;
    let expected = format!("connection to {other} (asked for {server}) refused after ");
    assert!(text.starts_with(&expected), "{text}");
    let text = negotiate(get("http://nowhere.invalid/"), server).await.text;
    let expected = format!("{server} not probed: no address of \"nowhere.invalid\": ");
    assert!(text.starts_with(&expected), "{text}");
    let text = negotiate(get("/"), server).await.text;
    let expected = "a redirect to \"http://nowhere.invalid/\" (no address of \"nowhere.invalid\": ";
    assert!(text.starts_with(expected), "{text}");
    assert!(
        text.ends_with(", expected one that can be followed"),
        "{text}"
    );
}
