//! Requests about the daemon itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use lvs_api::protocol::{Refusal, RefusalKind, Status};

use super::answer::{done, off_runtime};
use super::state::Control;

/// Times that a sweep is waited for, 50 ms each: there is one a second.
const NEXT_SWEEP: u32 = 30;

/// `GET /v1/status`.
pub(super) async fn status(State(control): State<Arc<Control>>) -> Result<Json<Status>, Response> {
    // A bulk sync that is over by now is to be seen in the tables.
    for _ in 0..NEXT_SWEEP {
        if control.is_occupation_current() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    off_runtime(control, |control| Json(control.status())).await
}

/// `POST /v1/reload`. Answers when the configuration is in effect, or turned out to be wrong.
pub(super) async fn reload(State(control): State<Arc<Control>>) -> Response {
    let stopping = || Refusal::new(RefusalKind::Internal, "lvsd is stopping");
    let wrong = |message| Refusal::new(RefusalKind::Invalid, message);
    let outcome = control.reload().await.ok_or_else(stopping);
    done(outcome.and_then(|outcome| outcome.map_err(wrong)))
}
