//! Requests about the tables: edits, services, connections, timeouts, marks, verdicts.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use lvs_api::connections::{DropConnections, Dropped};
use lvs_api::mark::MarkRule;
use lvs_api::protocol::{Edit, Services, Timeouts, VerdictCount};
use lvs_api::role::Role;
use lvs_common::verdict::Reason;
use lvs_dataplane::director::Director;
use lvs_dataplane::{connections, drop};
use tokio::sync::mpsc;

use super::answer::{JsonBody, done, off_runtime, parsed, refused, streamed};
use super::filters;
use super::state::Control;

/// `POST /v1/edits`.
pub(super) async fn edit(
    State(control): State<Arc<Control>>,
    body: JsonBody<Edit>,
) -> Result<Response, Response> {
    let edit = parsed(body).map_err(refused)?;
    if let Edit::AddServer { server, .. } = &edit {
        resolve(&control, server.address()).await;
    }
    let mut edit = edit;
    let outcome = off_runtime(control, move |control| {
        // A backup has the addresses of its group once it is master.
        let checked = match control.roles().status().role {
            Role::Master => Director::check_sources(&edit),
            Role::Backup => Ok(()),
        };
        // Files are read without the director's lock.
        let outcome = checked
            .and_then(|()| filters::read(&mut edit))
            .and_then(|()| control.director().apply(&edit));
        let text = serde_json::to_string(&edit).unwrap_or_default();
        match &outcome {
            Ok(()) => tracing::info!("edit {text}"),
            Err(refusal) => tracing::info!("refused {text}: {}", refusal.message),
        }
        outcome
    });
    Ok(done(outcome.await?))
}

/// Waits up to 50 ms for the next hop of a new real server, so that its first packets are not dropped.
async fn resolve(control: &Arc<Control>, address: IpAddr) {
    for _ in 0..10 {
        let known = off_runtime(Arc::clone(control), move |control| {
            control.director().expect(address)
        });
        if known.await.unwrap_or(true) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `POST /v1/filters/reload`. Reads the files of all filters again; one that is wrong changes nothing.
pub(super) async fn reload_filters(
    State(control): State<Arc<Control>>,
) -> Result<Response, Response> {
    let outcome = off_runtime(control, |control| {
        let outcome = filters::reload(control);
        match &outcome {
            Ok(()) => tracing::info!("the files of all filters were read again"),
            Err(refusal) => tracing::error!("filters stay as they are: {}", refusal.message),
        }
        outcome
    });
    Ok(done(outcome.await?))
}

/// `GET /v1/services`.
pub(super) async fn services(
    State(control): State<Arc<Control>>,
) -> Result<Json<Services>, Response> {
    off_runtime(control, |control| Json(control.director().list())).await
}

/// `GET /v1/timeouts`.
pub(super) async fn timeouts(
    State(control): State<Arc<Control>>,
) -> Result<Json<Timeouts>, Response> {
    off_runtime(control, |control| Json(control.director().timeouts())).await
}

/// `GET /v1/marks`.
pub(super) async fn marks(
    State(control): State<Arc<Control>>,
) -> Result<Json<Vec<MarkRule>>, Response> {
    off_runtime(control, |control| Json(control.director().marks())).await
}

/// `GET /v1/verdicts`.
pub(super) async fn verdicts(
    State(control): State<Arc<Control>>,
) -> Result<Json<Vec<VerdictCount>>, Response> {
    off_runtime(control, |control| {
        let count = |(reason, packets): (&Reason, u64)| VerdictCount {
            name: reason.name().to_owned(),
            packets,
            explanation: reason.explanation().to_owned(),
        };
        let counts = control.verdicts();
        Json(Reason::ALL.iter().zip(counts).map(count).collect())
    })
    .await
}

/// `POST /v1/connections/drop`.
pub(super) async fn drop_connections(
    State(control): State<Arc<Control>>,
    body: JsonBody<DropConnections>,
) -> Result<Json<Dropped>, Response> {
    let order = parsed(body).map_err(refused)?;
    let outcome = off_runtime(control, move |control| {
        let outcome = drop::drop_connections(control.maps(), &order);
        let text = serde_json::to_string(&order).unwrap_or_default();
        match &outcome {
            Ok(_) if order.dry_run => {}
            Ok(dropped) => tracing::info!(
                "dropped {} connections, {} templates: {text}",
                dropped.connections,
                dropped.templates
            ),
            Err(refusal) => tracing::info!("refused {text}: {}", refusal.message),
        }
        outcome
    });
    outcome.await?.map(Json).map_err(refused)
}

/// `GET /v1/connections`. The table is streamed: a million connections need not fit the daemon's memory.
pub(super) async fn connections(State(control): State<Arc<Control>>) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(4);
    tokio::task::spawn_blocking(move || {
        connections::list(control.maps(), |lines| {
            sender.blocking_send(Ok(lines.into())).is_ok()
        });
    });
    streamed(receiver)
}
