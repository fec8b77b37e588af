//! Requests about the daemon itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use lvs_api::protocol::{Refusal, RefusalKind, Status};

use super::answer::{done, off_runtime};
use super::state::Control;

/// `GET /v1/status`.
pub(super) async fn status(State(control): State<Arc<Control>>) -> Result<Json<Status>, Response> {
    off_runtime(control, |control| Json(control.status())).await
}

/// `POST /v1/reload`. Answers when the configuration is in effect, or turned out to be wrong.
pub(super) async fn reload(State(control): State<Arc<Control>>) -> Response {
    let stopping = || Refusal::new(RefusalKind::Internal, "lvsd is stopping");
    let wrong = |message| Refusal::new(RefusalKind::Invalid, message);
    let outcome = control.reload().await.ok_or_else(stopping);
    done(outcome.and_then(|outcome| outcome.map_err(wrong)))
}
