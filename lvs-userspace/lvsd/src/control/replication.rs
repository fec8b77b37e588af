//! Requests about connection replication: the daemons of IPVS's protocol, and sessions with peers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use lvs_api::peers::PeersStatus;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::sync::{SyncCommand, SyncStatus};
use lvs_replication::ipvs::{SocketError, SyncError};

use super::answer::{JsonBody, done, off_runtime, parsed, refused};
use super::state::Control;

/// `GET /v1/sync`.
pub(super) async fn sync_status(
    State(control): State<Arc<Control>>,
) -> Result<Json<SyncStatus>, Response> {
    off_runtime(control, |control| Json(control.sync().status())).await
}

/// `POST /v1/sync`.
pub(super) async fn sync_command(
    State(control): State<Arc<Control>>,
    body: JsonBody<SyncCommand>,
) -> Result<Response, Response> {
    let command = parsed(body).map_err(refused)?;
    let outcome = off_runtime(control, move |control| {
        tracing::info!("{}", serde_json::to_string(&command).unwrap_or_default());
        let outcome = match &command {
            SyncCommand::Start(_) if control.director().mixes_families() => {
                let message = "IPVS's protocol has no words for a real server of another address \
                               family than its virtual service's: remove these first";
                return Err(Refusal::new(RefusalKind::Invalid, message));
            }
            SyncCommand::Start(daemon) => control.sync().start(daemon),
            SyncCommand::Stop(role) => control.sync().stop(*role),
        };
        outcome.map_err(|error| Refusal::new(kind(&error), error.to_string()))
    });
    Ok(done(outcome.await?))
}

const fn kind(error: &SyncError) -> RefusalKind {
    match error {
        SyncError::Running(_) => RefusalKind::DaemonRunning,
        SyncError::NotRunning(_) => RefusalKind::NoDaemon,
        SyncError::Socket(SocketError::NoInterface(_)) | SyncError::Name(_) => {
            RefusalKind::NoDevice
        }
        SyncError::Socket(_) | SyncError::Thread(_) => RefusalKind::Internal,
    }
}

/// `GET /v1/peers`.
pub(super) async fn peers(State(control): State<Arc<Control>>) -> Json<PeersStatus> {
    Json(control.peers_status())
}
