//! Requests about the health of real servers.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use lvs_api::health::{Event, Health, NameTrouble, Override, ServerByHand, UncheckedServer};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_health::controller::Handle;
use lvs_ipvsadm::{override_line, server_by_hand_line};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::answer::{JsonBody, done, off_runtime, parsed, refused, streamed};
use super::state::Control;

/// Lines queued for one client that reads slowly.
const QUEUED: usize = 16;

fn no_health_checks() -> Response {
    refused(Refusal::new(
        RefusalKind::NotSupported,
        "no real server is checked: lvsd runs without an ldirectord.cf",
    ))
}

/// `POST /v1/orders`.
pub(super) async fn set_override(
    State(control): State<Arc<Control>>,
    body: JsonBody<Override>,
) -> Result<Response, Response> {
    let change = parsed(body).map_err(refused)?;
    let line = override_line(&change);
    let outcome = control
        .controller()
        .ok_or_else(no_health_checks)?
        .set_override(change)
        .await;
    match &outcome {
        Ok(()) => info!("override: {line}"),
        Err(refusal) => info!("refused: {line}: {}", refusal.message),
    }
    Ok(done(outcome))
}

/// `POST /v1/servers`.
pub(super) async fn server_by_hand(
    State(control): State<Arc<Control>>,
    body: JsonBody<ServerByHand>,
) -> Result<Response, Response> {
    let change = parsed(body).map_err(refused)?;
    let line = server_by_hand_line(&change);
    let stopping = || Refusal::new(RefusalKind::Internal, "lvsd is stopping");
    let outcome = control.server_by_hand(change).await.ok_or_else(stopping);
    let outcome = outcome.and_then(|outcome| outcome);
    match &outcome {
        Ok(()) => info!("{line}"),
        Err(refusal) => info!("refused: {line}: {}", refusal.message),
    }
    Ok(done(outcome))
}

/// The state of the controller, with the real servers that do not answer clients; none: nobody checks them.
pub(super) async fn checked(control: &Control) -> Option<Health> {
    let mut health = control.controller()?.health().await;
    for service in &mut health.services {
        service.silent = control.silent(&service.id);
    }
    Some(health)
}

/// `GET /v1/health`.
pub(super) async fn health(State(control): State<Arc<Control>>) -> Result<Json<Health>, Response> {
    let mut health = checked(&control).await.ok_or_else(no_health_checks)?;
    let troubles = control.name_troubles();
    let services = off_runtime(control, |control| control.director().list()).await?;
    // The tables count: services may have been edited by hand.
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
        let known: HashSet<_> = service
            .servers
            .iter()
            .map(|server| server.address)
            .chain(service.fallbacks.iter().copied())
            .collect();
        let unchecked = by_address
            .values()
            .filter(|entry| !known.contains(&entry.id.0));
        service.unchecked = unchecked
            .map(|entry| UncheckedServer {
                address: entry.id.0,
                weight: entry.settings.weight,
                active: entry.active,
                inactive: entry.inactive,
            })
            .collect();
        service.unchecked.sort_by_key(|server| server.address);
        for name in &mut service.names {
            if let Some(reason) = troubles.get(&name.name) {
                name.reason.clone_from(reason);
            }
        }
        service
            .names
            .retain(|NameTrouble { reason, .. }| !reason.is_empty());
    }
    Ok(Json(health))
}

/// `GET /v1/events`.
pub(super) async fn events(State(control): State<Arc<Control>>) -> Response {
    let mut events = follow_events(&control);
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = sender.closed() => return,
            };
            let Some(event) = event else { return };
            let line = serde_json::to_string(&*event).unwrap_or_default() + "\n";
            if sender.send(Ok(line.into())).await.is_err() {
                return;
            }
        }
    });
    streamed(receiver)
}

/// All events from now on, for a client. They end with the daemon, which does not wait for its clients.
pub(super) fn follow_events(control: &Control) -> mpsc::Receiver<Arc<Event>> {
    // Without health checks there are the director's own.
    let mut own = control.events();
    let mut events = control.controller().map(Handle::events);
    let mut ending = control.ending();
    let (sender, receiver) = mpsc::channel(QUEUED);
    tokio::spawn(async move {
        loop {
            let checked = async {
                match &mut events {
                    Some(events) => events.recv().await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                // Those that are queued come before the end.
                biased;
                event = checked => event,
                event = own.recv() => event,
                () = sender.closed() => return,
                _ = ending.wait_for(|ending| *ending) => return,
            };
            let event = match event {
                Ok(event) => event,
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(missed)) => {
                    warn!("a client reads too slowly and misses {missed} events");
                    let text = format!("{missed} events before this one were not read in time");
                    let reason = "the reader is too slow";
                    Arc::new(Event::of_director("events-missed", None, reason, text))
                }
            };
            if sender.send(event).await.is_err() {
                return;
            }
        }
    });
    receiver
}
