//! Requests about the health of real servers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{info, warn};

use super::server::{Control, off_runtime, refused};
use lvs_api::health::{Health, Override};
use lvs_api::protocol::{Refusal, RefusalKind};

/// Lines that wait for one listener who reads slowly.
const WAITING: usize = 16;

fn nobody() -> Response {
    refused(Refusal::new(
        RefusalKind::NotSupported,
        "no real server is looked after: lvsd runs without an ldirectord.cf",
    ))
}

/// `POST /v1/orders`.
pub(super) async fn order(
    State(control): State<Arc<Control>>,
    body: Result<Json<Override>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(change) =
        body.map_err(|error| refused(Refusal::new(RefusalKind::Invalid, error.body_text())))?;
    let text = serde_json::to_string(&change).unwrap_or_default();
    match control
        .controller()
        .ok_or_else(nobody)?
        .set_override(change)
        .await
    {
        Ok(()) => {
            info!("order {text}");
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Err(refusal) => {
            info!("refused {text}: {}", refusal.message);
            Err(refused(refusal))
        }
    }
}

/// `GET /v1/health`.
pub(super) async fn health(State(control): State<Arc<Control>>) -> Result<Json<Health>, Response> {
    let mut health = control.controller().ok_or_else(nobody)?.health().await;
    let services = off_runtime(control, |control| control.director().list()).await?;
    // What the tables say counts: somebody may have changed them by hand.
    let listed: HashMap<_, _> = services
        .services
        .iter()
        .map(|s| (s.id, &s.servers))
        .collect();
    for service in &mut health.services {
        let servers = listed.get(&service.id).into_iter().copied().flatten();
        let by_address: HashMap<_, _> = servers.map(|server| (server.id.0, server)).collect();
        for server in &mut service.servers {
            let entry = by_address.get(&server.address);
            server.effective = entry.map(|entry| entry.settings.weight);
            server.active = entry.map_or(0, |entry| entry.active);
            server.inactive = entry.map_or(0, |entry| entry.inactive);
        }
    }
    Ok(Json(health))
}

/// `GET /v1/events`.
pub(super) async fn events(State(control): State<Arc<Control>>) -> Result<Response, Response> {
    let mut events = control.controller().ok_or_else(nobody)?.events();
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(WAITING);
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = sender.closed() => return,
            };
            let line = match event {
                Ok(event) => serde_json::to_string(&*event).unwrap_or_default() + "\n",
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(missed)) => {
                    warn!("a listener reads too slowly and misses {missed} events");
                    continue;
                }
            };
            if sender.send(Ok(line.into())).await.is_err() {
                return;
            }
        }
    });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
