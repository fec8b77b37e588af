//! The other end of the control socket: what `lvsadm` and the tests talk to the daemon with.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::health::{Event, Health, Override};
use super::peers::PeersStatus;
use super::protocol::{
    Connection, Edit, MarkRule, Refusal, Services, Status, Timeouts, VerdictCount,
};
use super::role::{Handover, Role, RoleStatus};
use super::sync::{SyncCommand, SyncStatus};

/// Why the daemon did not do it.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("lvsd is not running at {}", socket.display())]
    NotRunning {
        /// Where it was looked for.
        socket: PathBuf,
    },
    /// Somebody listens, but one cannot talk to them.
    #[error("cannot connect to lvsd at {}", socket.display())]
    Connect {
        /// Where it was looked for.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It understood and refused.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The conversation broke off.
    #[error("the connection to lvsd broke")]
    Broken(#[from] hyper::Error),
    /// Its answer is not what this client understands.
    #[error("lvsd's answer to {path} is not understood ({status})")]
    Answer {
        /// What was asked.
        path: &'static str,
        /// The answer's status.
        status: StatusCode,
        /// Where reading it failed.
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
        self.request(Method::POST, "/v1/edits", Some(edit))
            .await
            .map(drop)
    }

    /// Has the configuration read again; refused with what is wrong with it.
    pub async fn reload(&mut self) -> Result<(), ClientError> {
        self.request(Method::POST, "/v1/reload", None::<&()>)
            .await
            .map(drop)
    }

    /// All services with their servers.
    pub async fn services(&mut self) -> Result<Services, ClientError> {
        self.get("/v1/services").await
    }

    /// Which packets carry which firewall mark.
    pub async fn marks(&mut self) -> Result<Vec<MarkRule>, ClientError> {
        self.get("/v1/marks").await
    }

    /// The timeouts in force.
    pub async fn timeouts(&mut self) -> Result<Timeouts, ClientError> {
        self.get("/v1/timeouts").await
    }

    /// How packets ended.
    pub async fn verdicts(&mut self) -> Result<Vec<VerdictCount>, ClientError> {
        self.get("/v1/verdicts").await
    }

    /// The daemon and its data path.
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// How synchronization goes.
    pub async fn sync(&mut self) -> Result<SyncStatus, ClientError> {
        self.get("/v1/sync").await
    }

    /// How the links to other directors are.
    pub async fn peers(&mut self) -> Result<PeersStatus, ClientError> {
        self.get("/v1/peers").await
    }

    /// Starts or stops a sync daemon.
    pub async fn command_sync(&mut self, command: &SyncCommand) -> Result<(), ClientError> {
        self.request(Method::POST, "/v1/sync", Some(command))
            .await
            .map(drop)
    }

    /// The director's role.
    pub async fn role(&mut self) -> Result<RoleStatus, ClientError> {
        self.get("/v1/role").await
    }

    /// Has it take a role; returns when it is done.
    pub async fn take_role(&mut self, role: Role) -> Result<(), ClientError> {
        self.request(Method::PUT, "/v1/role", Some(&role))
            .await
            .map(drop)
    }

    /// Has it hand its role over to its peer; returns when it has.
    pub async fn hand_over(&mut self, handover: Handover) -> Result<(), ClientError> {
        self.request(Method::POST, "/v1/handover", Some(&handover))
            .await
            .map(drop)
    }

    /// All connections, to be taken one at a time: there may be millions.
    pub async fn connections(&mut self) -> Result<Lines<Connection>, ClientError> {
        self.lines("/v1/connections").await
    }

    /// How real servers are.
    pub async fn health(&mut self) -> Result<Health, ClientError> {
        self.get("/v1/health").await
    }

    /// Gives an order for a real server.
    pub async fn order(&mut self, order: &Override) -> Result<(), ClientError> {
        self.request(Method::POST, "/v1/orders", Some(order))
            .await
            .map(drop)
    }

    /// Changes of state from now on, as they happen.
    pub async fn events(&mut self) -> Result<Lines<Event>, ClientError> {
        self.lines("/v1/events").await
    }

    async fn lines<T>(&mut self, path: &'static str) -> Result<Lines<T>, ClientError> {
        let answer = self.request(Method::GET, path, None::<&()>).await?;
        Ok(Lines {
            path,
            body: answer.into_body(),
            line: BytesMut::new(),
            searched: 0,
            item: PhantomData,
        })
    }

    async fn get<T: DeserializeOwned>(&mut self, path: &'static str) -> Result<T, ClientError> {
        let response = self.request(Method::GET, path, None::<&()>).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.aggregate();
        serde_json::from_reader(body.reader()).map_err(|source| ClientError::Answer {
            path,
            status,
            source,
        })
    }

    async fn request(
        &mut self,
        method: Method,
        path: &'static str,
        body: Option<&impl Serialize>,
    ) -> Result<Response<Incoming>, ClientError> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|source| ClientError::Answer {
                path,
                status: StatusCode::BAD_REQUEST,
                source,
            })?,
            None => Vec::new(),
        };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
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
    /// What arrived and was not handed out yet.
    line: BytesMut,
    /// How much of it is known to hold no end of line.
    searched: usize,
    item: PhantomData<T>,
}

impl<T: DeserializeOwned> Lines<T> {
    /// The next one; `None` after the last.
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
