//! Requests about the role of this director.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use lvs_api::health::Event;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::role::{Handover, RoleChange, RoleStatus, SteppedDown};
use lvs_failover::role::{command, handover, stop};

use super::answer::{JsonBody, done, parsed, refused};
use super::consent::{OwnConsent, refresh_agreement};
use super::state::Control;

/// `GET /v1/role`.
pub(super) async fn status(State(control): State<Arc<Control>>) -> Json<RoleStatus> {
    refresh_agreement(&control).await;
    Json(RoleStatus {
        reach: control.agreement().reach(Instant::now()),
        carrier: control.agreement().carrier(Instant::now()),
        ..control.roles().status()
    })
}

/// `PUT /v1/role`.
pub(super) async fn change(
    State(control): State<Arc<Control>>,
    body: JsonBody<RoleChange>,
) -> Result<Response, Response> {
    let change = parsed(body).map_err(refused)?;
    // It goes on to its end even if the client disconnects.
    let changed =
        tokio::spawn(
            async move { command::change(control.roles(), control.peers(), change).await },
        )
        .await;
    Ok(done(match changed {
        Ok(outcome) => outcome.map_err(|error| internal(&error)),
        Err(error) => Err(internal(&error)),
    }))
}

/// `POST /v1/handover`.
pub(super) async fn hand_over(
    State(control): State<Arc<Control>>,
    body: JsonBody<Handover>,
) -> Result<Response, Response> {
    let Handover { timeout, force } = parsed(body).map_err(refused)?;
    // A handover goes on to its end even if the client disconnects.
    let work = async move {
        let handover = handover::Handover {
            patience: Duration::from_millis(timeout),
            force,
        };
        let consent = OwnConsent(Arc::clone(&control));
        let outcome =
            handover::hand_over(control.roles(), control.peers(), &consent, handover).await;
        control.publish(Arc::new(match &outcome {
            Ok(()) => {
                let text = "the role is handed over to the peer".to_owned();
                Event::of_director("handover-done", None, "by order of the operator", text)
            }
            Err(error) => {
                let text = format!("the role is not handed over: {error}");
                Event::of_director("handover-failed", None, &error.to_string(), text)
            }
        }));
        outcome
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

/// `POST /v1/role/step-down`. What a master does with its virtual addresses before it ends.
pub(super) async fn step_down(State(control): State<Arc<Control>>) -> Json<SteppedDown> {
    let keep = control.keeps_addresses();
    let work = async move {
        let consent = OwnConsent(Arc::clone(&control));
        stop::step_down(control.roles(), control.peers(), &consent, keep).await
    };
    // It goes on to its end even if the client disconnects.
    let done = tokio::spawn(work).await.unwrap_or_default();
    if let Some(done) = &done {
        tracing::info!("{done}");
    }
    Json(SteppedDown { done })
}

fn internal(error: &impl ToString) -> Refusal {
    Refusal::new(RefusalKind::Internal, error.to_string())
}
