//! Requests about the role of this director.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::role::{Handover, Role, RoleStatus};
use lvs_failover::role::handover;

use super::server::{Control, refused};

/// `GET /v1/role`.
pub(super) async fn status(State(control): State<Arc<Control>>) -> Json<RoleStatus> {
    Json(control.roles().status())
}

/// `PUT /v1/role`.
pub(super) async fn change(
    State(control): State<Arc<Control>>,
    body: Result<Json<Role>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(role) =
        body.map_err(|error| refused(Refusal::new(RefusalKind::Invalid, error.body_text())))?;
    match control.roles().change(role).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) => Err(refused(Refusal::new(
            RefusalKind::Internal,
            error.to_string(),
        ))),
    }
}

/// `POST /v1/handover`.
pub(super) async fn hand_over(
    State(control): State<Arc<Control>>,
    body: Result<Json<Handover>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(Handover { timeout }) =
        body.map_err(|error| refused(Refusal::new(RefusalKind::Invalid, error.body_text())))?;
    // Who asks may go away; it is brought to its end all the same.
    let work = async move {
        let patience = Duration::from_millis(timeout);
        handover::hand_over(control.roles(), control.peers(), patience).await
    };
    let outcome = tokio::spawn(work).await;
    let failed = match outcome {
        Ok(Ok(())) => return Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!("the role is not handed over: {failed}");
    Err(refused(Refusal::new(RefusalKind::Internal, failed)))
}
