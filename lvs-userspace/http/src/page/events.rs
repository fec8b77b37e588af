//! Events as they come, as a browser follows them (server-sent events).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};

use super::Page;

/// From one sign of life to the next, by which the end of a client is noticed.
const ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn events(
    State(page): State<Page>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = ReceiverStream::new(page.snapshots.source().events());
    let events = events.map(|event| {
        let text = serde_json::to_string(&*event).unwrap_or_default();
        Ok(Event::default().data(text))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE))
}
