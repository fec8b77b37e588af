//! Packets as they are handled, for those who trace.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::trace::Trace;
use lvs_common::abi::MAX_IMAGE;
use lvs_dataplane::packet_trace::FilterError;
use tokio::sync::{mpsc, oneshot};

use super::answer::{JsonBody, parsed, refused, streamed};
use super::state::Control;
use super::tracer::Tracer;

/// Pieces of an answer that wait for a slow client: 16 MiB.
const QUEUED: usize = 256;

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
    let tracer = Tracer::new(filter, request.image, lines, begun);
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
