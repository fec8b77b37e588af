//! The daemon's end of the control socket.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lvs_common::verdict::Reason;
use parking_lot::{Mutex, MutexGuard};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::care;
use super::role;
use lvs_api::peers::PeersStatus;
use lvs_api::protocol::{
    Edit, Interface, MarkRule, Refusal, RefusalKind, Services, Status, Table, Timeouts,
    VerdictCount,
};
use lvs_api::sync::{SyncCommand, SyncStatus};
use lvs_dataplane::connections::{self, Occupation};
use lvs_dataplane::director::Director;
use lvs_dataplane::kernel::Maps;
use lvs_failover::role::Roles;
use lvs_health::controller::Handle;
use lvs_replication::ipvs::{SocketError, SyncDaemons, SyncError, SyncOptions};
use lvs_replication::peer::Peers;

/// Who may use the socket beside root, if the group exists.
const GROUP: &str = "lvs";

/// A request to read the configuration again: what is wrong with it goes here.
pub(crate) type Reload = oneshot::Sender<Result<(), String>>;

/// What requests are answered from.
pub(crate) struct Control {
    director: Arc<Mutex<Director>>,
    maps: Arc<Maps>,
    sync: SyncDaemons,
    peers: OnceLock<Arc<Peers>>,
    roles: Arc<Roles>,
    interfaces: Mutex<Vec<Interface>>,
    occupation: Mutex<Occupation>,
    reloads: mpsc::Sender<Reload>,
    controller: OnceLock<Handle>,
}

impl Control {
    /// Of a running director, whose configuration is read again by whoever listens to `reloads`.
    pub(crate) fn new(
        director: Director,
        roles: Roles,
        options: SyncOptions,
        reloads: mpsc::Sender<Reload>,
    ) -> Self {
        let maps = Arc::clone(director.maps());
        let director = Arc::new(Mutex::new(director));
        Self {
            sync: SyncDaemons::new(Arc::clone(&director), Arc::clone(&maps), options),
            peers: OnceLock::new(),
            maps,
            director,
            roles: Arc::new(roles),
            interfaces: Mutex::default(),
            occupation: Mutex::default(),
            reloads,
            controller: OnceLock::new(),
        }
    }

    /// Who looks after real servers, if anybody does.
    pub(crate) fn controller(&self) -> Option<&Handle> {
        self.controller.get()
    }

    /// From now on this one looks after real servers; the first stays.
    pub(crate) fn set_controller(&self, controller: Handle) {
        let _ = self.controller.set(controller);
    }

    /// The single writer. Whoever holds it may wait for the kernel: not to be held across an await, nor
    /// taken on the runtime's own threads.
    pub(crate) fn director(&self) -> MutexGuard<'_, Director> {
        self.director.lock()
    }

    /// The maps.
    pub(crate) const fn maps(&self) -> &Arc<Maps> {
        &self.maps
    }

    /// Connections told to and by other directors with the messages of the kernel's IPVS.
    pub(crate) const fn sync(&self) -> &SyncDaemons {
        &self.sync
    }

    /// The links to other directors, if there are any.
    pub(crate) fn peers(&self) -> Option<&Arc<Peers>> {
        self.peers.get()
    }

    /// From now on there are links; the first stay.
    pub(crate) fn set_peers(&self, peers: Arc<Peers>) {
        let _ = self.peers.set(peers);
    }

    /// The single writer, for those that outlive a request.
    pub(crate) const fn shared_director(&self) -> &Arc<Mutex<Director>> {
        &self.director
    }

    /// The role of this director.
    pub(crate) const fn roles(&self) -> &Arc<Roles> {
        &self.roles
    }

    /// Tells where the program runs.
    pub(crate) fn set_interfaces(&self, interfaces: Vec<Interface>) {
        *self.interfaces.lock() = interfaces;
    }

    /// Tells how many connections the last sweep met.
    pub(crate) fn set_occupation(&self, occupation: Occupation) {
        *self.occupation.lock() = occupation;
    }

    fn status(&self) -> Status {
        let occupation = *self.occupation.lock();
        let table = |family, entries, capacity: u32| Table {
            family,
            entries,
            capacity: u64::from(capacity),
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            abi: lvs_common::abi::ABI_VERSION,
            pid: std::process::id(),
            interfaces: self.interfaces.lock().clone(),
            tables: vec![
                table(
                    lvs_api::model::Family::Ipv4,
                    occupation.entries4,
                    self.maps.connections4.len(),
                ),
                table(
                    lvs_api::model::Family::Ipv6,
                    occupation.entries6,
                    self.maps.connections6.len(),
                ),
            ],
            unresolved: self.director().unresolved(),
        }
    }
}

/// A control socket that is not at its place yet: what connects there finds a daemon that is ready.
pub(crate) struct Socket {
    listener: std::os::unix::net::UnixListener,
    private: PathBuf,
    path: PathBuf,
}

impl Socket {
    /// Makes the socket, with the permissions it is to have.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let private = path.with_extension("new");
        // A start that was killed may have left it.
        let _ = fs::remove_file(&private);
        let listener = std::os::unix::net::UnixListener::bind(&private)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(&private, fs::Permissions::from_mode(0o660))?;
        if let Ok(Some(group)) = nix::unistd::Group::from_name(GROUP) {
            nix::unistd::chown(&private, None, Some(group.gid))?;
        }
        Ok(Self {
            listener,
            private,
            path: path.to_owned(),
        })
    }

    /// Puts it in its place. Whoever listened there is gone: the data path's lock is ours.
    pub(crate) fn publish(self) -> io::Result<UnixListener> {
        fs::rename(&self.private, &self.path)?;
        UnixListener::from_std(self.listener)
    }
}

/// Answers requests until `stop` ends.
pub(crate) async fn serve(
    listener: UnixListener,
    control: Arc<Control>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/v1/edits", post(edit))
        .route("/v1/services", get(services))
        .route("/v1/connections", get(connections))
        .route("/v1/timeouts", get(timeouts))
        .route("/v1/verdicts", get(verdicts))
        .route("/v1/marks", get(marks))
        .route("/v1/status", get(status))
        .route("/v1/orders", post(care::order))
        .route("/v1/health", get(care::health))
        .route("/v1/events", get(care::events))
        .route("/v1/reload", post(reload))
        .route("/v1/sync", get(sync_status).post(sync_order))
        .route("/v1/peers", get(peers))
        .route("/v1/role", get(role::status).put(role::change))
        .route("/v1/handover", post(role::hand_over))
        .fallback(|| async {
            refused(Refusal::new(
                RefusalKind::NotSupported,
                "there is no such resource",
            ))
        })
        .with_state(control);
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop)
        .await
}

/// Runs something that may wait for the kernel off the runtime's threads.
pub(super) async fn off_runtime<T: Send + 'static>(
    control: Arc<Control>,
    work: impl FnOnce(&Control) -> T + Send + 'static,
) -> Result<T, Response> {
    tokio::task::spawn_blocking(move || work(&control))
        .await
        .map_err(|error| {
            tracing::error!("a request failed: {error}");
            refused(Refusal::new(
                RefusalKind::Internal,
                "the request failed, see the daemon's log",
            ))
        })
}

async fn edit(
    State(control): State<Arc<Control>>,
    body: Result<Json<Edit>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(edit) =
        body.map_err(|error| refused(Refusal::new(RefusalKind::Invalid, error.body_text())))?;
    if let Edit::AddServer { server, .. } = &edit {
        expect(&control, server.address()).await;
    }
    let outcome = off_runtime(control, move |control| {
        let outcome = control.director().apply(&edit);
        let text = serde_json::to_string(&edit).unwrap_or_default();
        match &outcome {
            Ok(()) => tracing::info!("edit {text}"),
            Err(refusal) => tracing::info!("refused {text}: {}", refusal.message),
        }
        outcome
    });
    Ok(match outcome.await? {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refused(refusal),
    })
}

/// Gives a new real server's next hop a moment to be found: the first packets are for it, too.
async fn expect(control: &Arc<Control>, address: IpAddr) {
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

async fn services(State(control): State<Arc<Control>>) -> Result<Json<Services>, Response> {
    off_runtime(control, |control| Json(control.director().list())).await
}

async fn timeouts(State(control): State<Arc<Control>>) -> Result<Json<Timeouts>, Response> {
    off_runtime(control, |control| Json(control.director().timeouts())).await
}

async fn marks(State(control): State<Arc<Control>>) -> Result<Json<Vec<MarkRule>>, Response> {
    off_runtime(control, |control| Json(control.director().marks())).await
}

async fn status(State(control): State<Arc<Control>>) -> Result<Json<Status>, Response> {
    off_runtime(control, |control| Json(control.status())).await
}

async fn sync_status(State(control): State<Arc<Control>>) -> Result<Json<SyncStatus>, Response> {
    off_runtime(control, |control| Json(control.sync.status())).await
}

async fn peers(State(control): State<Arc<Control>>) -> Json<PeersStatus> {
    Json(
        control
            .peers()
            .map_or_else(PeersStatus::default, |peers| peers.status()),
    )
}

async fn sync_order(
    State(control): State<Arc<Control>>,
    body: Result<Json<SyncCommand>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(order) =
        body.map_err(|error| refused(Refusal::new(RefusalKind::Invalid, error.body_text())))?;
    let outcome = off_runtime(control, move |control| {
        tracing::info!("{}", serde_json::to_string(&order).unwrap_or_default());
        match &order {
            SyncCommand::Start(daemon) => control.sync.start(daemon),
            SyncCommand::Stop(role) => control.sync.stop(*role),
        }
    });
    Ok(match outcome.await? {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(Refusal::new(kind(&error), error.to_string())),
    })
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

async fn verdicts(
    State(control): State<Arc<Control>>,
) -> Result<Json<Vec<VerdictCount>>, Response> {
    off_runtime(control, |control| {
        let count = |reason: &Reason| VerdictCount {
            name: reason.name().to_owned(),
            packets: control.maps.verdicts.count(*reason),
            explanation: reason.explanation().to_owned(),
        };
        Json(Reason::ALL.iter().map(count).collect())
    })
    .await
}

/// Answers when the configuration is in effect, or turned out to be wrong.
async fn reload(State(control): State<Arc<Control>>) -> Response {
    let (answer, outcome) = oneshot::channel();
    let asked = control.reloads.send(answer).await;
    match (asked, outcome.await) {
        (Ok(()), Ok(Ok(()))) => StatusCode::NO_CONTENT.into_response(),
        (Ok(()), Ok(Err(message))) => refused(Refusal::new(RefusalKind::Invalid, message)),
        _ => refused(Refusal::new(RefusalKind::Internal, "lvsd is stopping")),
    }
}

/// Streams the table: a million connections need not fit the daemon's memory at once.
async fn connections(State(control): State<Arc<Control>>) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(4);
    tokio::task::spawn_blocking(move || {
        connections::list(control.maps(), |lines| {
            sender.blocking_send(Ok(lines.into())).is_ok()
        });
    });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

pub(super) fn refused(refusal: Refusal) -> Response {
    let status = match refusal.kind {
        RefusalKind::ServiceExists | RefusalKind::ServerExists | RefusalKind::DaemonRunning => {
            StatusCode::CONFLICT
        }
        RefusalKind::NoSuchService
        | RefusalKind::ServiceNotDefined
        | RefusalKind::NoSuchServer
        | RefusalKind::NoDaemon
        | RefusalKind::NoDevice => StatusCode::NOT_FOUND,
        RefusalKind::NotPermitted => StatusCode::FORBIDDEN,
        RefusalKind::Invalid | RefusalKind::OutOfRange | RefusalKind::UnknownScheduler => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        RefusalKind::NoRoom => StatusCode::INSUFFICIENT_STORAGE,
        RefusalKind::NotSupported => StatusCode::NOT_IMPLEMENTED,
        RefusalKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(refusal)).into_response()
}
