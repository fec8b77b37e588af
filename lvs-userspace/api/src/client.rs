//! Client of the control API, for `lvsadm` and the tests.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::connections::{DropConnections, Dropped};
use super::health::{Event, Health, Override};
use super::mark::MarkRule;
use super::peers::PeersStatus;
use super::protocol::{Connection, Edit, Refusal, Services, Status, Timeouts, VerdictCount};
use super::role::{Handover, Role, RoleStatus};
use super::route::Route;
use super::sync::{SyncCommand, SyncStatus};

/// A request that failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No daemon listens at the socket.
    #[error("lvsd is not running at {}", socket.display())]
    NotRunning {
        /// Path of the socket.
        socket: PathBuf,
    },
    /// The socket is there but cannot be connected to.
    #[error("cannot connect to lvsd at {}", socket.display())]
    Connect {
        /// Path of the socket.
        socket: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The daemon refused the request.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The connection broke.
    #[error("the connection to lvsd broke")]
    Broken(#[from] hyper::Error),
    /// The answer is not understood.
    #[error("lvsd's answer to {path} is not understood ({status})")]
    Answer {
        /// Path of the request.
        path: &'static str,
        /// The answer's status.
        status: StatusCode,
        /// The error in the answer.
        #[source]
        source: serde_json::Error,
    },
}

/// A connection to the daemon, used for one request after the other.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Client {
    /// Connects to the daemon that listens on `socket`.
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket).await.map_err(|source| {
            let socket = socket.to_owned();
            match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::NotRunning { socket }
                }
                _ => ClientError::Connect { socket, source },
            }
        })?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // An error of the connection is also the answer to the request under way.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, driver })
    }

    /// Makes one change.
    pub async fn edit(&mut self, edit: &Edit) -> Result<(), ClientError> {
        self.send(Route::Edit, Some(edit)).await
    }

    /// Makes the daemon read its configuration again; refused with the configuration's errors.
    pub async fn reload(&mut self) -> Result<(), ClientError> {
        self.send(Route::Reload, None::<&()>).await
    }

    /// Makes the daemon read the files of all filters again; refused with what is wrong with them.
    pub async fn reload_filters(&mut self) -> Result<(), ClientError> {
        self.send(Route::ReloadFilters, None::<&()>).await
    }

    /// All services with their servers.
    pub async fn services(&mut self) -> Result<Services, ClientError> {
        self.get(Route::Services).await
    }

    /// Rules that set firewall marks.
    pub async fn marks(&mut self) -> Result<Vec<MarkRule>, ClientError> {
        self.get(Route::Marks).await
    }

    /// The timeouts in force.
    pub async fn timeouts(&mut self) -> Result<Timeouts, ClientError> {
        self.get(Route::Timeouts).await
    }

    /// Number of packets by verdict.
    pub async fn verdicts(&mut self) -> Result<Vec<VerdictCount>, ClientError> {
        self.get(Route::Verdicts).await
    }

    /// Status of the daemon and its data path.
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        self.get(Route::Status).await
    }

    /// Status of the daemons of IPVS's sync protocol.
    pub async fn sync(&mut self) -> Result<SyncStatus, ClientError> {
        self.get(Route::SyncStatus).await
    }

    /// Status of the sessions with peers.
    pub async fn peers(&mut self) -> Result<PeersStatus, ClientError> {
        self.get(Route::Peers).await
    }

    /// Starts or stops a sync daemon.
    pub async fn command_sync(&mut self, command: &SyncCommand) -> Result<(), ClientError> {
        self.send(Route::SyncCommand, Some(command)).await
    }

    /// The director's role.
    pub async fn role(&mut self) -> Result<RoleStatus, ClientError> {
        self.get(Route::Role).await
    }

    /// Changes the director's role; returns when it is done.
    pub async fn set_role(&mut self, role: Role) -> Result<(), ClientError> {
        self.send(Route::SetRole, Some(&role)).await
    }

    /// Hands the role over to the peer; returns when it is done.
    pub async fn hand_over(&mut self, handover: Handover) -> Result<(), ClientError> {
        self.send(Route::HandOver, Some(&handover)).await
    }

    /// All connections, one at a time: there may be millions.
    pub async fn connections(&mut self) -> Result<Lines<Connection>, ClientError> {
        self.lines(Route::Connections).await
    }

    /// Ends connections, or counts them.
    pub async fn drop_connections(
        &mut self,
        order: &DropConnections,
    ) -> Result<Dropped, ClientError> {
        self.ask(Route::DropConnections, Some(order)).await
    }

    /// Health of real servers.
    pub async fn health(&mut self) -> Result<Health, ClientError> {
        self.get(Route::Health).await
    }

    /// Sets an operator's override for a real server.
    pub async fn set_override(&mut self, change: &Override) -> Result<(), ClientError> {
        self.send(Route::Override, Some(change)).await
    }

    /// Changes of state from now on, as they happen.
    pub async fn events(&mut self) -> Result<Lines<Event>, ClientError> {
        self.lines(Route::Events).await
    }

    async fn send(
        &mut self,
        route: Route,
        body: Option<&impl Serialize>,
    ) -> Result<(), ClientError> {
        self.request(route, body).await.map(drop)
    }

    async fn lines<T>(&mut self, route: Route) -> Result<Lines<T>, ClientError> {
        let answer = self.request(route, None::<&()>).await?;
        Ok(Lines {
            path: route.path(),
            body: answer.into_body(),
            line: BytesMut::new(),
            searched: 0,
            item: PhantomData,
        })
    }

    async fn get<T: DeserializeOwned>(&mut self, route: Route) -> Result<T, ClientError> {
        self.ask(route, None::<&()>).await
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        route: Route,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let response = self.request(route, body).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.aggregate();
        serde_json::from_reader(body.reader()).map_err(|source| ClientError::Answer {
            path: route.path(),
            status,
            source,
        })
    }

    async fn request(
        &mut self,
        route: Route,
        body: Option<&impl Serialize>,
    ) -> Result<Response<Incoming>, ClientError> {
        let path = route.path();
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|source| ClientError::Answer {
                path,
                status: StatusCode::BAD_REQUEST,
                source,
            })?,
            None => Vec::new(),
        };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = route.method();
        *request.uri_mut() = hyper::Uri::from_static(path);
        let headers = request.headers_mut();
        headers.insert(HOST, hyper::header::HeaderValue::from_static("lvsd"));
        headers.insert(
            CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("application/json"),
        );

        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.into_body().collect().await?.aggregate();
        let refusal =
            serde_json::from_reader(body.reader()).map_err(|source| ClientError::Answer {
                path,
                status,
                source,
            })?;
        Err(ClientError::Refused(refusal))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The lines of an answer as they arrive, one value in each.
pub struct Lines<T> {
    path: &'static str,
    body: Incoming,
    /// Bytes received that were not returned yet.
    line: BytesMut,
    /// Length of the part of `line` that is known to hold no line feed.
    searched: usize,
    item: PhantomData<T>,
}

impl<T: DeserializeOwned> Lines<T> {
    /// The next value; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            let unsearched = self.line.iter().skip(self.searched);
            if let Some(length) = unsearched.clone().position(|byte| *byte == b'\n') {
                let line = self.line.split_to(self.searched + length + 1);
                self.searched = 0;
                if !line.trim_ascii().is_empty() {
                    return parse(self.path, &line).map(Some);
                }
                continue;
            }
            self.searched = self.line.len();
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.line.extend_from_slice(&data);
                    }
                }
                None if self.line.trim_ascii().is_empty() => return Ok(None),
                None => {
                    let line = self.line.split();
                    self.searched = 0;
                    return parse(self.path, &line).map(Some);
                }
            }
        }
    }
}

fn parse<T: DeserializeOwned>(path: &'static str, line: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(line).map_err(|source| ClientError::Answer {
        path,
        status: StatusCode::OK,
        source,
    })
}
