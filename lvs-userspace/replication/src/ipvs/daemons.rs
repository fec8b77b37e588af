//! The sync daemons of a director: a *master* sends and a *backup* receives; a director may have both at once,
//! or neither. Their options outlive lvsd beside the tables.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use lvs_api::sync::{
    DEFAULT_GROUP, DEFAULT_PORT, DEFAULT_TTL, SyncDaemon, SyncDaemonStatus, SyncRole, SyncStatus,
};
use lvs_dataplane::director::Director;
use lvs_dataplane::kernel::{Maps, SavedSyncDaemon};
use parking_lot::{Mutex, MutexGuard};
use thiserror::Error;
use tracing::warn;

use super::backup::{Backup, ReceiveCounters};
use super::master::{Addressing, Master, SendCounters};
use super::options::SyncOptions;
use super::socket::{self, SocketError, SyncSocket};
use super::wire::Version;
use super::worker::Worker;
use crate::events::EventFeed;

/// The reason why a daemon was not started or stopped.
#[derive(Debug, Error)]
pub enum SyncError {
    /// One at a time.
    #[error("a {} daemon is running already", .0.name())]
    Running(SyncRole),
    /// There is nothing to stop.
    #[error("no {} daemon is running", .0.name())]
    NotRunning(SyncRole),
    /// The socket could not be opened.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The interface's name is too long to be one.
    #[error("no interface can have the name {0:?}")]
    Name(String),
    /// The process has too many threads.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// The sync daemons of this director.
pub struct SyncDaemons {
    director: Arc<Mutex<Director>>,
    maps: Arc<Maps>,
    feed: Arc<EventFeed>,
    received: Arc<ReceiveCounters>,
    sent: Arc<SendCounters>,
    options: SyncOptions,
    /// One of each role, or more where a backup listens at several ports.
    workers: Mutex<BTreeMap<SyncRole, Vec<Worker>>>,
}

impl SyncDaemons {
    /// Starts the daemons that an earlier lvsd left running.
    pub fn new(director: Arc<Mutex<Director>>, maps: Arc<Maps>, options: SyncOptions) -> Self {
        let sync = Self {
            director,
            feed: Arc::new(EventFeed::new(Arc::clone(&maps))),
            maps,
            received: Arc::default(),
            sent: Arc::default(),
            options,
            workers: Mutex::default(),
        };
        for role in [SyncRole::Master, SyncRole::Backup] {
            let saved = sync.maps.sync_daemons.read(SavedSyncDaemon::index(role));
            let Some(daemon) = saved.and_then(|saved| saved.daemon(role)) else {
                continue;
            };
            // Its interface may come up later.
            match sync.run(&daemon, None) {
                Ok(workers) => _ = sync.workers().insert(role, workers),
                Err(error) => tracing::error!("the {} daemon: {error}", role.name()),
            }
        }
        sync
    }

    /// Starts a daemon, now and with every lvsd to come.
    pub fn start(&self, daemon: &SyncDaemon) -> Result<(), SyncError> {
        let saved = SavedSyncDaemon::new(daemon)
            .ok_or_else(|| SyncError::Name(daemon.interface.clone()))?;
        let mut workers = self.workers();
        if workers.contains_key(&daemon.role) {
            return Err(SyncError::Running(daemon.role));
        }
        let socket = SyncSocket::open(daemon, self.options().buffer)?;
        let all = self.run(daemon, Some(socket))?;
        workers.insert(daemon.role, all);
        self.maps
            .sync_daemons
            .write(SavedSyncDaemon::index(daemon.role), saved);
        Ok(())
    }

    /// Stops a daemon for good.
    pub fn stop(&self, role: SyncRole) -> Result<(), SyncError> {
        let worker = self.workers().remove(&role);
        let worker = worker.ok_or(SyncError::NotRunning(role))?;
        self.maps
            .sync_daemons
            .write(SavedSyncDaemon::index(role), SavedSyncDaemon::NONE);
        drop(worker);
        if role == SyncRole::Backup {
            self.received.unbound().clear();
        }
        Ok(())
    }

    /// True if a daemon is to run.
    pub fn any(&self) -> bool {
        !self.workers().is_empty()
    }

    /// The data path's events about connections.
    pub const fn feed(&self) -> &Arc<EventFeed> {
        &self.feed
    }

    /// The daemons, and what they sent and received.
    pub fn status(&self) -> SyncStatus {
        let workers = self.workers();
        let daemons = workers.values().filter_map(|all| status(all)).collect();
        drop(workers);
        SyncStatus {
            daemons,
            sent: self.sent.status(self.maps.events.lost()),
            received: self.received.status(),
        }
    }

    fn run(
        &self,
        daemon: &SyncDaemon,
        socket: Option<SyncSocket>,
    ) -> Result<Vec<Worker>, SyncError> {
        let max_length = socket::max_length(daemon);
        let daemon = SyncDaemon {
            group: Some(daemon.group.unwrap_or(DEFAULT_GROUP)),
            port: Some(daemon.port.unwrap_or(DEFAULT_PORT)),
            ttl: Some(daemon.ttl.unwrap_or(DEFAULT_TTL)),
            max_length: Some(max_length),
            ..daemon.clone()
        };
        let options = self.options();
        let workers = match daemon.role {
            SyncRole::Master => {
                let addressing = Addressing {
                    syncid: daemon.syncid,
                    max_length,
                    ports: options.ports_from(first_port(&daemon)),
                };
                if options.version == Version::Zero {
                    warn!(
                        "sync_version is 0: connections of IPv6, timeouts, and templates of marks and persistence \
                         engines are not sent"
                    );
                }
                let (maps, sent) = (Arc::clone(&self.maps), Arc::clone(&self.sent));
                let master = Master::new(maps, &self.feed, addressing, sent, options);
                let worker = Worker::start(daemon, options.buffer, socket, master);
                worker.map(|worker| vec![worker])
            }
            SyncRole::Backup => self.listen(&daemon, socket),
        };
        workers.map_err(SyncError::Thread)
    }

    /// A backup at each of its ports; `socket` is that of the first one, if it is open already.
    fn listen(
        &self,
        daemon: &SyncDaemon,
        mut socket: Option<SyncSocket>,
    ) -> io::Result<Vec<Worker>> {
        let (first, options) = (first_port(daemon), self.options());
        let ports = (first..=u16::MAX).take(options.ports_from(first).into());
        let workers = ports.map(|port| {
            let (director, received) = (Arc::clone(&self.director), Arc::clone(&self.received));
            let daemon = SyncDaemon {
                port: Some(port),
                ..daemon.clone()
            };
            let backup = Backup::new(director, daemon.syncid, received);
            Worker::start(daemon, options.buffer, socket.take(), backup)
        });
        workers.collect()
    }

    /// Those of daemons that are started now.
    fn options(&self) -> SyncOptions {
        self.options.with_sysctls(&self.maps)
    }

    fn workers(&self) -> MutexGuard<'_, BTreeMap<SyncRole, Vec<Worker>>> {
        self.workers.lock()
    }
}

/// Status of a daemon at several ports: of the first one, with the problem of any.
fn status(all: &[Worker]) -> Option<SyncDaemonStatus> {
    let mut each = all.iter().map(Worker::status);
    let mut status = each.next()?;
    status.problem = status.problem.or_else(|| each.find_map(|it| it.problem));
    Some(status)
}

fn first_port(daemon: &SyncDaemon) -> u16 {
    daemon.port.unwrap_or(DEFAULT_PORT)
}
