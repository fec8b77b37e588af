//! `/metrics`: everything that is counted, for Prometheus and what speaks its formats.
//!
//! Nothing is kept here: a collector encodes a snapshot when it is asked for, piece by piece, so that thousands of real
//! servers take no memory.

mod director;
mod encoder;
mod node_exporter;
mod process;
mod query;
mod servers;
mod services;
mod text;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use self::query::Query;
use self::text::Format;
use crate::problem::problem;
use crate::snapshot::Snapshots;

/// Scrapes at a time; each holds a thread.
static SCRAPES: Semaphore = Semaphore::const_new(2);

/// Longest wait for one's turn.
const TURN: Duration = Duration::from_secs(5);

/// Longest time for a whole answer: a client that reads slowly keeps others from scraping.
const ANSWER: Duration = Duration::from_secs(30);

/// Bytes of a piece.
const PIECE: usize = 64 << 10;

/// Pieces that wait for a client.
const WAITING: usize = 4;

pub(crate) fn routes() -> Router<Arc<Snapshots>> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(
    State(snapshots): State<Arc<Snapshots>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = match Query::parse(query.as_deref().unwrap_or("")) {
        Ok(query) => query,
        Err(wrong) => return problem(StatusCode::BAD_REQUEST, wrong),
    };
    let Ok(Ok(turn)) = tokio::time::timeout(TURN, SCRAPES.acquire()).await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "others are scraping");
    };
    let Some(snapshot) = snapshots.read().await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "lvsd is stopping");
    };
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let format = Format::accepted(accepted.unwrap_or(""));
    let (sender, receiver) = mpsc::channel(WAITING);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut pieces = Pieces::new(sender, runtime, Instant::now() + ANSWER);
        // An error is the client's, who is gone.
        let _ = text::write(&mut pieces, format, snapshot, query);
        pieces.end();
    });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    ([(header::CONTENT_TYPE, format.content_type())], body).into_response()
}

/// Text that is sent piece by piece.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
    /// When all of it has to be sent.
    end: Instant,
    piece: String,
    /// The client is gone, or too slow.
    failed: bool,
}

impl Pieces {
    fn new(sender: mpsc::Sender<io::Result<Bytes>>, runtime: Handle, end: Instant) -> Self {
        let piece = String::with_capacity(PIECE);
        Self {
            sender,
            runtime,
            end,
            piece,
            failed: false,
        }
    }

    /// Sends what there is; false: the client is gone, or too slow.
    fn send(&mut self) -> bool {
        if self.failed {
            return false;
        }
        let piece = std::mem::replace(&mut self.piece, String::with_capacity(PIECE));
        let left = self.end.saturating_duration_since(Instant::now());
        let sent = async { self.sender.send_timeout(Ok(Bytes::from(piece)), left).await };
        self.failed = self.runtime.block_on(sent).is_err();
        !self.failed
    }

    /// Sends the rest. An answer that is not whole ends with an error, so that nobody takes it for one that is.
    fn end(mut self) {
        if !self.send() {
            let late = io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly");
            let sender = self.sender;
            self.runtime
                .spawn(async move { sender.send(Err(late)).await });
        }
    }
}

impl fmt::Write for Pieces {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.piece.len() + text.len() > PIECE && !self.send() {
            return Err(fmt::Error);
        }
        self.piece.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_that_is_read_too_slowly_ends_with_an_error() {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        let runtime = Handle::current();
        let wrote = tokio::task::spawn_blocking(move || {
            let mut pieces = Pieces::new(sender, runtime, Instant::now());
            let text = "x".repeat(PIECE);
            // The first is in the piece, so many wait.
            let wrote = (0..=WAITING + 1).all(|_| pieces.write_str(&text).is_ok());
            pieces.end();
            wrote
        });
        assert!(!wrote.await.unwrap());
        let mut last = None;
        while let Some(piece) = receiver.recv().await {
            last = Some(piece);
        }
        assert!(last.unwrap().is_err());
    }
}
