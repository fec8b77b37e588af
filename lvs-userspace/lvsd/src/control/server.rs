//! The server of the control API.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::routing::{MethodFilter, MethodRouter, get, on};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::route::Route;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutWriter;
use tracing::debug;

use super::answer::refused;
use super::clients::{Activity, CLIENTS, Clients, Place};
use super::state::Control;
use super::{daemon, health, replication, role, tables, trace, why};

/// Largest body of many edits in bytes: more than all tables hold.
const LARGEST_EDITS: usize = 256 << 20;

/// Longest time in which a client takes nothing of an answer.
const STALLED: Duration = Duration::from_mins(1);

/// From one attempt to the next while there is no room for a client, or no file for its connection.
const RETRY: Duration = Duration::from_millis(10);

/// Answers requests until `stop` returns, and ends once every answer under way is sent.
pub(crate) async fn serve(
    listener: UnixListener,
    control: Arc<Control>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let clients = Arc::new(Clients::default());
    // Clients other than root that wait for a place.
    let waiting = Arc::new(Semaphore::new(CLIENTS));
    let ending = GracefulShutdown::new();
    let service = TowerToHyperService::new(routes().with_state(Arc::clone(&control)));
    let mut stop = std::pin::pin!(stop);
    loop {
        let client = tokio::select! {
            client = listener.accept() => client,
            () = &mut stop => break,
        };
        let stream = match client {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!("cannot accept a client: {error}");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let is_root = stream.peer_cred().is_ok_and(|user| user.uid() == 0);
        // Who waits for a place keeps nobody behind it from being accepted: that may be root.
        let waits = match Arc::clone(&waiting).try_acquire_owned() {
            _ if is_root => None,
            Ok(waits) => Some(waits),
            Err(_) => continue,
        };
        let (clients, service) = (Arc::clone(&clients), service.clone());
        let watcher = ending.watcher();
        tokio::spawn(async move {
            let place = loop {
                if let Some(place) = clients.admit(is_root, Instant::now()) {
                    break place;
                }
                tokio::time::sleep(RETRY).await;
            };
            drop(waits);
            converse(stream, place, service, watcher, &clients);
        });
    }
    drop(listener);
    control.end_streams();
    ending.shutdown().await;
}

/// Answers the requests of one client.
fn converse(
    stream: UnixStream,
    place: Place,
    service: TowerToHyperService<Router>,
    watcher: Watcher,
    clients: &Clients,
) {
    let (number, activity) = (place.number(), place.activity.clone());
    let noted = activity.clone();
    let service = service_fn(move |request| {
        noted.set_busy(true);
        let (answer, noted) = (service.call(request), noted.clone());
        async move {
            let answer = answer.await;
            noted.set_busy(false);
            answer
        }
    });
    let connection = http1::Builder::new().serve_connection(stalling(stream, activity), service);
    let connection = watcher.watch(connection);
    let task = tokio::spawn(async move {
        let _place = place;
        // It ended in the middle, or did not speak HTTP: nobody is left to be told.
        drop(connection.await);
    });
    clients.set_task(number, task.abort_handle());
}

/// The stream of a client, which fails once its client takes nothing of an answer any more.
fn stalling(stream: UnixStream, activity: Activity) -> TokioIo<Pin<Box<TimeoutWriter<Observed>>>> {
    let mut stream = TimeoutWriter::new(Observed { stream, activity });
    stream.set_timeout(Some(STALLED));
    TokioIo::new(Box::pin(stream))
}

/// A client's stream that notes its activity.
struct Observed {
    stream: UnixStream,
    activity: Activity,
}

impl Observed {
    fn note<T>(&self, done: &Poll<io::Result<T>>) {
        if let Poll::Ready(Ok(_)) = done {
            self.activity.note(Instant::now());
        }
    }
}

impl AsyncRead for Observed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.note(&done);
        done
    }
}

impl AsyncWrite for Observed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(&done);
        done
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The routes of the control API.
pub(super) fn routes() -> Router<Arc<Control>> {
    all().fallback(|| async {
        refused(Refusal::new(
            RefusalKind::NotSupported,
            "there is no such resource",
        ))
    })
}

/// The routes of the control API, and no answer to others.
pub(super) fn all() -> Router<Arc<Control>> {
    let json = [(header::CONTENT_TYPE, "application/json")];
    let described = Router::new().route(
        "/v1/openapi.json",
        get(move || async move { (json, lvs_api::OPENAPI) }),
    );
    Route::ALL.iter().fold(described, |router, route| {
        router.route(route.path(), handler(*route))
    })
}

fn handler(route: Route) -> MethodRouter<Arc<Control>> {
    let method =
        MethodFilter::try_from(route.method()).expect("axum knows every method of the routes");
    match route {
        Route::Edit => on(method, tables::edit),
        Route::EditMany => {
            on(method, tables::edit_many).layer(DefaultBodyLimit::max(LARGEST_EDITS))
        }
        Route::ReloadFilters => on(method, tables::reload_filters),
        Route::Services => on(method, tables::services),
        Route::Connections => on(method, tables::connections),
        Route::DropConnections => on(method, tables::drop_connections),
        Route::Trace => on(method, trace::trace),
        Route::Why => on(method, why::why),
        Route::Timeouts => on(method, tables::timeouts),
        Route::Verdicts => on(method, tables::verdicts),
        Route::Marks => on(method, tables::marks),
        Route::TotalTraffic => on(method, tables::total_traffic),
        Route::Sysctls => on(method, tables::sysctls),
        Route::Status => on(method, daemon::status),
        Route::Reload => on(method, daemon::reload),
        Route::Override => on(method, health::set_override),
        Route::ServerByHand => on(method, health::server_by_hand),
        Route::Health => on(method, health::health),
        Route::Events => on(method, health::events),
        Route::SyncStatus => on(method, replication::sync_status),
        Route::SyncCommand => on(method, replication::sync_command),
        Route::Peers => on(method, replication::peers),
        Route::Role => on(method, role::status),
        Route::SetRole => on(method, role::change),
        Route::HandOver => on(method, role::hand_over),
        Route::StepDown => on(method, role::step_down),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_api_is_served() {
        // A path that is served twice by one method panics, and so does a method that axum has not.
        assert!(routes().has_routes());
    }
}
