//! The listener: connections within limits, TLS, and the answers of every request.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{setsockopt, sockopt};
use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};

use crate::access::{Access, Peer, guard};
use crate::clients::{Clients, Place};
use crate::gate::{gate, wait_for_turn};
use crate::history::History;
use crate::metrics;
use crate::page::{self, Page};
use crate::problem::problem;
use crate::snapshot::{Snapshots, Source};
use crate::tls::{TlsError, configuration};
use crate::users::UsersError;

/// Longest time for a TLS handshake, for the head of a request, and between two requests.
const SLOWEST: Duration = Duration::from_secs(10);

/// Longest time in which a client takes nothing of an answer.
const STALLED: Duration = Duration::from_secs(10);

/// Silence after which a client is probed, and from one probe to the next, in seconds.
const KEEPALIVE: u32 = 15;

/// Longest time in which a client acknowledges nothing, in milliseconds.
const GONE: u32 = 60_000;

/// Largest head of a request in bytes, and its most lines.
const LARGEST_HEAD: usize = 16 << 10;
const HEADERS: usize = 64;

/// From one attempt to the next while no connection can be accepted.
const RETRY: Duration = Duration::from_millis(10);

/// The settings: what is served, and to whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address to listen at.
    pub address: SocketAddr,
    /// File of users; none: everybody may read.
    pub users: Option<PathBuf>,
    /// Files of certificate and key; none: no TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// The reason why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened at.
    #[error("cannot listen at {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The file of users is wrong.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// Certificate or key is wrong.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Passwords could be overheard.
    #[error(
        "passwords would cross the network in clear text: give a certificate (--http-certificate, --http-key), or \
         listen at an address of this machine only, 127.0.0.1 or ::1"
    )]
    ClearText,
}

/// Files that were read: who may ask, and by which certificate.
pub struct Files {
    address: SocketAddr,
    access: Access,
    tls: Option<Tls>,
}

/// A listener.
pub struct Http {
    address: SocketAddr,
    /// None once it is served: whoever serves it closes it.
    listener: Mutex<Option<std::net::TcpListener>>,
    access: Arc<Access>,
    tls: Option<Tls>,
}

struct Tls {
    files: (PathBuf, PathBuf),
    current: RwLock<Arc<ServerConfig>>,
}

impl Files {
    /// Reads the files.
    pub fn read(options: &Options) -> Result<Self, StartError> {
        let access = Access::new(options.users.clone())?;
        let tls = options.tls.clone().map(|files| {
            let current = RwLock::new(configuration(&files.0, &files.1)?);
            Ok::<_, TlsError>(Tls { files, current })
        });
        let tls = tls.transpose()?;
        let is_local = options.address.ip().to_canonical().is_loopback();
        if options.users.is_some() && tls.is_none() && !is_local {
            return Err(StartError::ClearText);
        }
        let address = options.address;
        Ok(Self {
            address,
            access,
            tls,
        })
    }
}

impl Http {
    /// Listens; nobody is answered yet.
    pub fn listen(files: Files) -> Result<Self, StartError> {
        let Files {
            address,
            access,
            tls,
        } = files;
        let failed = |error| StartError::Listen(address, error);
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let access = Arc::new(access);
        Ok(Self {
            address,
            listener: Mutex::new(Some(listener)),
            access,
            tls,
        })
    }

    /// Reads the files of users and certificate again; those that are wrong change nothing. Connections stay.
    pub fn reload(&self) -> Result<(), StartError> {
        if let Some(tls) = &self.tls {
            let (certificate, key) = &tls.files;
            let new = configuration(certificate, key)?;
            self.access.reload()?;
            *tls.current.write() = new;
        } else {
            self.access.reload()?;
        }
        Ok(())
    }

    /// Answers requests until `stop` returns; the address is free then. `api` are the routes of the control API.
    pub async fn serve(
        &self,
        source: Arc<dyn Source>,
        api: Router,
        stop: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let Some(listener) = self.listener.lock().take() else {
            return Err(io::Error::other("it was served already"));
        };
        let listener = TcpListener::from_std(listener)?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        info!("serving {scheme}://{}/", self.address);
        let history = Arc::<History>::default();
        let following = tokio::spawn(Arc::clone(&history).follow(Arc::clone(&source)));
        let snapshots = Arc::new(Snapshots::new(source));
        let page = Page { snapshots, history };
        let service = TowerToHyperService::new(routes(&self.access, page, api));
        let (clients, ending) = (Arc::<Clients>::default(), GracefulShutdown::new());
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    debug!("cannot accept a client: {error}");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            let Some(place) = clients.admit(peer.ip()) else {
                debug!("HTTP: too many connections, {peer} is refused");
                continue;
            };
            if let Err(error) = prepare(&stream) {
                debug!("HTTP: {peer} is gone: {error}");
                continue;
            }
            let tls = self
                .tls
                .as_ref()
                .map(|tls| TlsAcceptor::from(Arc::clone(&tls.current.read())));
            let (service, watcher) = (service.clone(), ending.watcher());
            tokio::spawn(converse(stream, peer, place, tls, service, watcher));
        }
        drop(listener);
        following.abort();
        // Events go on for ever: they end with the daemon.
        drop(timeout(Duration::from_secs(1), ending.shutdown()).await);
        Ok(())
    }
}

/// Has a client's connection end that is gone without a word: those that follow events send nothing themselves.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &KEEPALIVE)?;
    // It ends unanswered probes as well (tcp(7)).
    setsockopt(stream, sockopt::TcpUserTimeout, &GONE)?;
    Ok(())
}

/// Answers the requests of one client.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    _place: Place,
    tls: Option<TlsAcceptor>,
    service: TowerToHyperService<Router>,
    watcher: Watcher,
) {
    let Some(tls) = tls else {
        return talk(stream, peer, service, watcher).await;
    };
    match timeout(SLOWEST, tls.accept(stream)).await {
        Ok(Ok(stream)) => talk(stream, peer, service, watcher).await,
        Ok(Err(error)) => debug!("HTTP: no TLS with {peer}: {error}"),
        Err(_) => debug!("HTTP: no TLS with {peer} in {} s", SLOWEST.as_secs()),
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    peer: SocketAddr,
    service: TowerToHyperService<Router>,
    watcher: Watcher,
) {
    let service = service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(Peer(peer));
        service.call(request)
    });
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(STALLED));
    let stream: TokioIo<Pin<Box<_>>> = TokioIo::new(Box::pin(stream));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SLOWEST)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(HEADERS)
        .serve_connection(stream, service);
    // It ended in the middle, or did not speak HTTP: nobody is left to be told.
    drop(watcher.watch(connection).await);
}

fn routes(access: &Arc<Access>, page: Page, api: Router) -> Router {
    let guarded = Router::new()
        .merge(metrics::routes())
        .with_state(Arc::clone(&page.snapshots))
        .merge(page::routes(page))
        .merge(api)
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is no such resource") })
        .method_not_allowed_fallback(|| async {
            problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "this resource has other methods",
            )
        })
        .layer(middleware::from_fn_with_state(gate(), wait_for_turn))
        // It comes first: only those who may ask wait for a turn.
        .layer(middleware::from_fn_with_state(Arc::clone(access), guard));
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        // Nobody is answered before the tables are set.
        .route("/readyz", get(|| async { "ok\n" }))
        .merge(guarded)
        .layer(middleware::map_response(protect))
}

/// Headers that keep a browser from doing more than it should.
async fn protect(mut answer: Response) -> Response {
    let headers = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}
