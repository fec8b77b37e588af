//! Client of the control API, for `lvsadm` and the tests.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
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
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connections::{DropConnections, Dropped};
use super::health::{Health, Override, ServerByHand};
use super::mark::MarkRule;
use super::peers::PeersStatus;
use super::protocol::{
    Connection, Edit, Edits, Refusal, Refused, Services, Status, TotalTraffic, VerdictCount,
};
use super::role::{Handover, RoleChange, RoleStatus, SteppedDown};
use super::route::Route;
use super::sync::{SyncCommand, SyncStatus};
use super::sysctl::SysctlValue;
use super::timeouts::Timeouts;
use super::trace::{Trace, TraceLine};
use super::why::{Way, Why};

/// Time that the daemon has to answer, unless another is given.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(10);

/// Time that the daemon has besides for work that waits for others: new addresses, or a file to be read.
const LONG_WORK: Duration = Duration::from_mins(1);

/// From one attempt to connect to the next, while more clients wait to be accepted than the socket has room for.
const RETRY: Duration = Duration::from_millis(20);

/// Time that a daemon has that is just starting: it reads its file, and asks every real server.
const START: Duration = Duration::from_mins(1);

/// From one look to the next at a daemon that is starting.
const STARTING: Duration = Duration::from_millis(200);

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
    /// The daemon did not answer in time. It may have carried out the request all the same, or still do it.
    #[error("lvsd does not answer at {} (waited for {:?}): it hangs, or is stopped", socket.display(), limit)]
    Silent {
        /// Path of the socket.
        socket: PathBuf,
        /// Time that was waited.
        limit: Duration,
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
    socket: PathBuf,
    limit: Duration,
}

impl Client {
    /// Connects to the daemon that listens on `socket`, and gives it [`DEFAULT_LIMIT`] for each answer.
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        Self::connect_within(socket, DEFAULT_LIMIT).await
    }

    /// Connects to the daemon that listens on `socket`; one that is starting is waited for, unless `limit` is less than
    /// [`DEFAULT_LIMIT`]. It has the time `limit` to accept, then to begin each answer and to go on with each part of
    /// it.
    pub async fn connect_within(socket: &Path, limit: Duration) -> Result<Self, ClientError> {
        let mut deadline = Instant::now() + limit;
        let start = if limit < DEFAULT_LIMIT {
            limit
        } else {
            limit.max(START)
        };
        let started = Instant::now() + start;
        let mut was_starting = true;
        let stream = loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => break stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(source) => {
                    let starting = is_starting(socket).await;
                    // It may have become ready between the two looks: once more.
                    if Instant::now() >= started || !(starting || was_starting) {
                        return Err(unreachable(socket, source));
                    }
                    was_starting = starting;
                    if starting {
                        sleep(STARTING).await;
                    }
                    deadline = Instant::now() + limit;
                }
            }
            if Instant::now() >= deadline {
                return Err(silent(socket, limit));
            }
            sleep(RETRY).await;
        };
        let (sender, connection) = timeout_at(deadline, handshake(TokioIo::new(stream)))
            .await
            .map_err(|_| silent(socket, limit))??;
        // An error of the connection is also the answer to the request under way.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self {
            sender,
            driver,
            socket: socket.to_owned(),
            limit,
        })
    }

    /// Makes one change.
    pub async fn edit(&mut self, edit: &Edit) -> Result<(), ClientError> {
        self.send(Route::Edit, Some(edit)).await
    }

    /// Makes many changes.
    pub async fn edit_many(&mut self, edits: &Edits) -> Result<Refused, ClientError> {
        self.ask_for(LONG_WORK, Route::EditMany, Some(edits)).await
    }

    /// Makes the daemon read its configuration again; refused with the configuration's errors.
    pub async fn reload(&mut self) -> Result<(), ClientError> {
        self.send_for(LONG_WORK, Route::Reload, None::<&()>).await
    }

    /// Makes the daemon read the files of all filters again; refused with what is wrong with them.
    pub async fn reload_filters(&mut self) -> Result<(), ClientError> {
        self.send_for(LONG_WORK, Route::ReloadFilters, None::<&()>)
            .await
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

    /// Traffic of all services together.
    pub async fn total_traffic(&mut self) -> Result<TotalTraffic, ClientError> {
        self.get(Route::TotalTraffic).await
    }

    /// All settings of `net.ipv4.vs`.
    pub async fn sysctls(&mut self) -> Result<Vec<SysctlValue>, ClientError> {
        self.get(Route::Sysctls).await
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
    pub async fn set_role(&mut self, change: RoleChange) -> Result<(), ClientError> {
        self.send_for(LONG_WORK, Route::SetRole, Some(&change))
            .await
    }

    /// Hands the role over to the peer; returns when it is done.
    pub async fn hand_over(&mut self, handover: Handover) -> Result<(), ClientError> {
        let work = LONG_WORK.saturating_add(Duration::from_millis(handover.timeout));
        self.send_for(work, Route::HandOver, Some(&handover)).await
    }

    /// Gives the virtual addresses up: the daemon is about to be stopped.
    pub async fn step_down(&mut self) -> Result<SteppedDown, ClientError> {
        self.ask_for(LONG_WORK, Route::StepDown, None::<&()>).await
    }

    /// All connections, one at a time: there may be millions.
    pub async fn connections(&mut self) -> Result<Lines<Connection>, ClientError> {
        let limit = Some(self.limit);
        self.lines(Route::Connections, limit).await
    }

    /// Ends connections, or counts them.
    pub async fn drop_connections(
        &mut self,
        request: &DropConnections,
    ) -> Result<Dropped, ClientError> {
        self.ask_for(LONG_WORK, Route::DropConnections, Some(request))
            .await
    }

    /// The way that a client's packet would take.
    pub async fn why(&mut self, question: &Why) -> Result<Way, ClientError> {
        self.ask(Route::Why, Some(question)).await
    }

    /// Packets from now on, as they are handled.
    pub async fn trace(&mut self, request: &Trace) -> Result<Lines<TraceLine>, ClientError> {
        let work = self.limit.saturating_add(LONG_WORK);
        let answer = self.request(work, Route::Trace, Some(request)).await?;
        // A line comes each second at least.
        let limit = Some(self.limit);
        Ok(self.lines_of(Route::Trace, answer, limit))
    }

    /// Health of real servers.
    pub async fn health(&mut self) -> Result<Health, ClientError> {
        self.get(Route::Health).await
    }

    /// Sets an operator's override for a real server.
    pub async fn set_override(&mut self, change: &Override) -> Result<(), ClientError> {
        self.send(Route::Override, Some(change)).await
    }

    /// Has a real server checked that is not in the file, or removes one.
    pub async fn server_by_hand(&mut self, change: &ServerByHand) -> Result<(), ClientError> {
        self.send(Route::ServerByHand, Some(change)).await
    }

    /// Changes of state from now on, as they happen.
    ///
    /// As they are sent: a newer daemon has kinds and fields that this client does not know.
    pub async fn events(&mut self) -> Result<Lines<serde_json::Value>, ClientError> {
        self.lines(Route::Events, None).await
    }

    async fn send(
        &mut self,
        route: Route,
        body: Option<&impl Serialize>,
    ) -> Result<(), ClientError> {
        self.request(self.limit, route, body).await.map(drop)
    }

    /// Sends a request whose work takes so long at most.
    async fn send_for(
        &mut self,
        work: Duration,
        route: Route,
        body: Option<&impl Serialize>,
    ) -> Result<(), ClientError> {
        let limit = self.limit.saturating_add(work);
        self.request(limit, route, body).await.map(drop)
    }

    /// Asks for lines, which follow each other within `between`.
    async fn lines<T>(
        &mut self,
        route: Route,
        between: Option<Duration>,
    ) -> Result<Lines<T>, ClientError> {
        let answer = self.request(self.limit, route, None::<&()>).await?;
        Ok(self.lines_of(route, answer, between))
    }

    fn lines_of<T>(
        &self,
        route: Route,
        answer: Response<Incoming>,
        between: Option<Duration>,
    ) -> Lines<T> {
        Lines {
            path: route.path(),
            socket: self.socket.clone(),
            between,
            body: answer.into_body(),
            line: BytesMut::new(),
            searched: 0,
            item: PhantomData,
        }
    }

    async fn get<T: DeserializeOwned>(&mut self, route: Route) -> Result<T, ClientError> {
        self.ask(route, None::<&()>).await
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        route: Route,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        self.ask_for(Duration::ZERO, route, body).await
    }

    /// Asks for an answer that takes work for so long at most.
    async fn ask_for<T: DeserializeOwned>(
        &mut self,
        work: Duration,
        route: Route,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let limit = self.limit.saturating_add(work);
        let response = self.request(limit, route, body).await?;
        let status = response.status();
        let body = self.whole(response).await?;
        // One look at the whole of it costs less than one at each string.
        let read = match str::from_utf8(&body) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(&body),
        };
        read.map_err(|source| ClientError::Answer {
            path: route.path(),
            status,
            source,
        })
    }

    /// The whole body of an answer.
    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let collected = timeout(self.limit, response.into_body().collect()).await;
        let collected = collected.map_err(|_| silent(&self.socket, self.limit))?;
        Ok(collected?.to_bytes())
    }

    /// A daemon that has long for its work is asked for a trifle first: one that is stopped is found out within the
    /// usual time.
    async fn request(
        &mut self,
        limit: Duration,
        route: Route,
        body: Option<&impl Serialize>,
    ) -> Result<Response<Incoming>, ClientError> {
        if limit > self.limit {
            let response = self
                .exchange(self.limit, Route::Timeouts, None::<&()>)
                .await?;
            self.whole(response).await?;
        }
        self.exchange(limit, route, body).await
    }

    async fn exchange(
        &mut self,
        limit: Duration,
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

        let sender = &mut self.sender;
        let answered = async move {
            sender.ready().await?;
            sender.send_request(request).await
        };
        let response = timeout(limit, answered).await;
        let response = response.map_err(|_| silent(&self.socket, limit))??;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.whole(response).await?;
        let refusal = serde_json::from_slice(&body).map_err(|source| ClientError::Answer {
            path,
            status,
            source,
        })?;
        Err(ClientError::Refused(refusal))
    }
}

/// The socket of a daemon that is starting, whose path will be `socket`.
pub fn starting(socket: &Path) -> PathBuf {
    socket.with_extension("new")
}

/// True if a daemon is starting that will listen at `socket`.
async fn is_starting(socket: &Path) -> bool {
    match UnixStream::connect(starting(socket)).await {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

fn unreachable(socket: &Path, source: io::Error) -> ClientError {
    let socket = socket.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ClientError::NotRunning { socket }
        }
        _ => ClientError::Connect { socket, source },
    }
}

fn silent(socket: &Path, limit: Duration) -> ClientError {
    ClientError::Silent {
        socket: socket.to_owned(),
        limit,
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
    socket: PathBuf,
    /// Longest time from one part of the answer to the next; none: they come as things happen.
    between: Option<Duration>,
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
            let frame = match self.between {
                Some(limit) => timeout(limit, self.body.frame())
                    .await
                    .map_err(|_| silent(&self.socket, limit))?,
                None => self.body.frame().await,
            };
            match frame {
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
