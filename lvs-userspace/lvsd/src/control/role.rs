//! Requests about the role of this director.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::role::{Handover, Role, RoleStatus};
use lvs_failover::role::handover;

use super::answer::{JsonBody, done, parsed, refused};
use super::state::Control;

/// `GET /v1/role`.
pub(super) async fn status(State(control): State<Arc<Control>>) -> Json<RoleStatus> {
    Json(control.roles().status())
}

/// `PUT /v1/role`.
pub(super) async fn change(
    State(control): State<Arc<Control>>,
    body: JsonBody<Role>,
) -> Result<Response, Response> {
    let role = parsed(body).map_err(refused)?;
    let outcome = control.roles().change(role).await;
    Ok(done(outcome.map_err(|error| internal(&error))))
}

/// `POST /v1/handover`.
pub(super) async fn hand_over(
    State(control): State<Arc<Control>>,
    body: JsonBody<Handover>,
) -> Result<Response, Response> {
    let Handover { timeout } = parsed(body).map_err(refused)?;
    // A handover goes on to its end even if the client disconnects.
    let work = async move {
        let patience = Duration::from_millis(timeout);
        handover::hand_over(control.roles(), control.peers(), patience).await
    };
    let outcome = tokio::spawn(work).await;
    let failed = match outcome {
        Ok(Ok(())) => return Ok(done(Ok(()))),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!("the role is not handed over: {failed}");
    Ok(done(Err(internal(&failed))))
}

fn internal(error: &impl ToString) -> Refusal {
    Refusal::new(RefusalKind::Internal, error.to_string())
}
