//! Servers in the test's own process, and probes of them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::check::{Check, Kind, Path};
use super::checker::Checker;
use super::outcome::Outcome;
use super::prober::Prober;

/// A server that does this with each connection; it ends with the test's runtime.
pub(super) async fn serve<F, S>(each: F) -> SocketAddr
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    serve_at("127.0.0.1:0", each).await
}

/// The same, at an address.
pub(super) async fn serve_at<F, S>(address: &str, each: F) -> SocketAddr
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    address
}

/// A check with far more time than it needs.
pub(super) fn check(kind: Kind, target: SocketAddr) -> Check {
    Check {
        kind,
        target,
        path: Path::Own,
        source: None,
        user: None,
        connect_timeout: Duration::from_secs(30),
        timeout: Duration::from_secs(30),
    }
}

/// One whose time is soon over: for servers that never answer.
pub(super) fn short(kind: Kind, target: SocketAddr) -> Check {
    Check {
        timeout: Duration::from_millis(300),
        ..check(kind, target)
    }
}

/// The outcome of a probe of this kind.
pub(super) async fn negotiate(checker: impl Into<Checker>, target: SocketAddr) -> Outcome {
    Prober::default()
        .run(&check(Kind::Negotiate(checker.into()), target))
        .await
}

/// Asserts that this never comes: `answer from`. A machine too busy to get that far in the time gets
/// more of it.
pub(super) async fn assert_gives_up(
    checker: impl Into<Checker>,
    server: SocketAddr,
    awaited: &str,
) {
    let checker = checker.into();
    let mut text = String::new();
    for ms in [200, 2_000, 20_000] {
        let check = Check {
            timeout: Duration::from_millis(ms),
            ..check(Kind::Negotiate(checker.clone()), server)
        };
        let outcome = Prober::default().run(&check).await;
        assert!(!outcome.good, "{}", outcome.text);
        assert!(outcome.took >= check.timeout, "{outcome:?}");
        if outcome.text == format!("no {awaited} {server} in {ms} ms") {
            return;
        }
        text = outcome.text;
    }
    panic!("{text}, expected no {awaited}");
}

/// Asserts the message of an outcome, whatever the time: `N` stands for it.
#[track_caller]
pub(super) fn assert_says(outcome: &Outcome, good: bool, text: &str) {
    let said = match outcome.text.split_once(" after ") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
            format!("{before} after N{rest}")
        }
        None => outcome.text.clone(),
    };
    assert_eq!((outcome.good, said.as_str()), (good, text));
}
