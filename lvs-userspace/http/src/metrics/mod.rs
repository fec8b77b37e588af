//! `/metrics`: everything that is counted, for Prometheus and what speaks its formats.
//!
//! Nothing is kept here: a collector encodes a snapshot when it is asked for, piece by piece, so that thousands of real
//! servers take no memory.

mod director;
mod families;
mod node_exporter;
mod process;
mod query;
mod servers;
mod services;
mod text;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
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
    let Some(snapshot) = snapshots.take().await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "lvsd is stopping");
    };
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let format = Format::accepted(accepted.unwrap_or(""));
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut pieces = Pieces::new(sender);
        // An error is the client's, who is gone.
        let _ = text::write(&mut pieces, format, snapshot, query);
        pieces.send();
    });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    ([(header::CONTENT_TYPE, format.content_type())], body).into_response()
}

/// Text that is sent piece by piece.
struct Pieces {
    sender: mpsc::Sender<Result<Bytes, Infallible>>,
    piece: String,
}

impl Pieces {
    fn new(sender: mpsc::Sender<Result<Bytes, Infallible>>) -> Self {
        let piece = String::with_capacity(PIECE);
        Self { sender, piece }
    }

    /// Sends what there is; false: the client is gone.
    fn send(&mut self) -> bool {
        let piece = std::mem::replace(&mut self.piece, String::with_capacity(PIECE));
        self.sender.blocking_send(Ok(Bytes::from(piece))).is_ok()
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
