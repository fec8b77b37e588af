//! Packets as they are handled, for those who trace.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::trace::Trace;
use lvs_common::abi::MAX_IMAGE;
use lvs_dataplane::packet_trace::{Filter, FilterError};
use tokio::sync::{mpsc, oneshot};

use super::answer::{JsonBody, parsed, refused, streamed};
use super::state::Control;

/// Pieces of an answer that wait for a slow client.
const QUEUED: usize = 64;

/// Somebody who traces packets.
pub(crate) struct Tracer {
    /// The packets that are asked for.
    pub(crate) filter: Filter,
    /// Bytes of images of the frames; 0: none.
    pub(crate) image: u32,
    /// Takes lines.
    pub(crate) lines: mpsc::Sender<Result<Bytes, Infallible>>,
    /// Hears whether the trace begins.
    begun: Option<oneshot::Sender<Result<(), Refusal>>>,
}

impl Tracer {
    /// The trace does not begin.
    pub(crate) fn refuse(mut self, refusal: Refusal) {
        if let Some(begun) = self.begun.take() {
            // Who asked may have gone.
            let _ = begun.send(Err(refusal));
        }
    }

    /// The trace begins; none, if who asked has gone.
    pub(crate) fn accept(mut self) -> Option<Self> {
        let begun = self.begun.take()?;
        begun.send(Ok(())).ok()?;
        Some(self)
    }
}

/// `POST /v1/trace`.
pub(super) async fn trace(
    State(control): State<Arc<Control>>,
    body: JsonBody<Trace>,
) -> Result<Response, Response> {
    let request = parsed(body).map_err(refused)?;
    let invalid = |text: String| refused(Refusal::new(RefusalKind::Invalid, text));
    let filter = request.filter.parse();
    let filter = filter.map_err(|error: FilterError| invalid(error.to_string()))?;
    if request.image as usize >= MAX_IMAGE {
        return Err(invalid(format!(
            "images of {} bytes are too large: at most {}",
            request.image,
            MAX_IMAGE - 1
        )));
    }
    let (lines, receiver) = mpsc::channel(QUEUED);
    let (begun, outcome) = oneshot::channel();
    let tracer = Tracer {
        filter,
        image: request.image,
        lines,
        begun: Some(begun),
    };
    control.trace(tracer).await;
    match outcome.await {
        Ok(Ok(())) => Ok(streamed(receiver)),
        Ok(Err(refusal)) => Err(refused(refusal)),
        Err(_) => Err(refused(Refusal::new(
            RefusalKind::Internal,
            "packets cannot be traced now: lvsd is stopping",
        ))),
    }
}
