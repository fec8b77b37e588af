//! Connections of two directors kept in step, so that either can go on with those of the other.
//!
//! As with IPVS, a *master* sends and a *backup* receives; a director may be both at once, or neither.
//! The options of both outlive lvsd beside the tables.

mod check;
mod discard;
mod feed;
mod link;
mod receive;
mod saved;
mod send;
mod take;
mod tell;
pub mod wire;
mod worker;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use self::link::Link;
use self::send::{Sender, Sent};
use self::worker::Worker;
use crate::control::sync::{self, DiscardCount, SyncDaemon, SyncRole, SyncStatus};
use crate::director::Director;
use crate::kernel::Maps;

pub use discard::{Discard, Discarded};
pub use feed::{Feed, Listener};
pub use link::LinkError;
pub use receive::{Received, Receiver};
pub use saved::Saved;
pub(crate) use take::{Content, Present, Taken};

/// The group that IPVS sends to.
pub const DEFAULT_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
/// Its UDP port.
pub const DEFAULT_PORT: u16 = 8848;
/// Messages stay on the link.
pub const DEFAULT_TTL: u8 = 1;

/// Why a daemon was not started or stopped.
#[derive(Debug, Error)]
pub enum SyncError {
    /// One at a time.
    #[error("a {} daemon is running already", .0.name())]
    Running(SyncRole),
    /// There is nothing to stop.
    #[error("no {} daemon is running", .0.name())]
    NotRunning(SyncRole),
    /// The socket could not be made.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The interface's name is too long to be one.
    #[error("no interface can have the name {0:?}")]
    Name(String),
    /// The process has too many threads.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// The sync daemons of this director.
pub struct Sync {
    director: Arc<Mutex<Director>>,
    maps: Arc<Maps>,
    feed: Arc<Feed>,
    received: Arc<Received>,
    sent: Arc<Sent>,
    workers: Mutex<BTreeMap<SyncRole, Worker>>,
}

impl Sync {
    /// Starts those that are to run.
    pub fn new(director: Arc<Mutex<Director>>, maps: Arc<Maps>) -> Self {
        let sync = Self {
            director,
            feed: Arc::new(Feed::new(Arc::clone(&maps))),
            maps,
            received: Arc::default(),
            sent: Arc::default(),
            workers: Mutex::default(),
        };
        for role in [SyncRole::Master, SyncRole::Backup] {
            let saved = sync.maps.sync_daemons.read(Saved::index(role));
            let Some(daemon) = saved.and_then(|saved| saved.daemon(role)) else {
                continue;
            };
            // Its interface may come up later.
            match sync.work(&daemon, None) {
                Ok(worker) => _ = sync.workers().insert(role, worker),
                Err(error) => tracing::error!("the {} daemon: {error}", role.name()),
            }
        }
        sync
    }

    /// Starts a daemon, now and with every lvsd to come.
    pub fn start(&self, daemon: &SyncDaemon) -> Result<(), SyncError> {
        let saved = Saved::new(daemon).ok_or_else(|| SyncError::Name(daemon.interface.clone()))?;
        let mut workers = self.workers();
        if workers.contains_key(&daemon.role) {
            return Err(SyncError::Running(daemon.role));
        }
        let worker = self.work(daemon, Some(Link::open(daemon)?))?;
        workers.insert(daemon.role, worker);
        self.maps
            .sync_daemons
            .write(Saved::index(daemon.role), saved);
        Ok(())
    }

    /// Stops a daemon for good.
    pub fn stop(&self, role: SyncRole) -> Result<(), SyncError> {
        let worker = self.workers().remove(&role);
        let worker = worker.ok_or(SyncError::NotRunning(role))?;
        self.maps
            .sync_daemons
            .write(Saved::index(role), Saved::NONE);
        drop(worker);
        Ok(())
    }

    /// What the program tells about connections.
    pub const fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// How it goes.
    pub fn status(&self) -> SyncStatus {
        let daemons = self.workers().values().map(Worker::status).collect();
        SyncStatus {
            daemons,
            sent: self.sent.status(self.maps.events.lost()),
            received: self.received.status(),
        }
    }

    fn work(&self, daemon: &SyncDaemon, link: Option<Link>) -> Result<Worker, SyncError> {
        let max_length = link::max_length(daemon);
        let daemon = SyncDaemon {
            group: Some(daemon.group.unwrap_or(DEFAULT_GROUP)),
            port: Some(daemon.port.unwrap_or(DEFAULT_PORT)),
            ttl: Some(daemon.ttl.unwrap_or(DEFAULT_TTL)),
            max_length: Some(max_length),
            ..daemon.clone()
        };
        let worker = match daemon.role {
            SyncRole::Master => {
                let (maps, sent) = (Arc::clone(&self.maps), Arc::clone(&self.sent));
                let sender = Sender::new(maps, &self.feed, daemon.syncid, max_length, sent);
                Worker::start(daemon, link, sender)
            }
            SyncRole::Backup => {
                let (director, received) = (Arc::clone(&self.director), Arc::clone(&self.received));
                Worker::start(
                    daemon.clone(),
                    link,
                    Receiver::new(director, daemon.syncid, received),
                )
            }
        };
        worker.map_err(SyncError::Thread)
    }

    fn workers(&self) -> MutexGuard<'_, BTreeMap<SyncRole, Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Received {
    fn status(&self) -> sync::Received {
        sync::Received {
            messages: self.messages.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            discarded: self.discarded.list(),
        }
    }
}

impl Discarded {
    /// What occurred.
    pub fn list(&self) -> Vec<DiscardCount> {
        let count = |why: Discard| DiscardCount {
            name: why.name().to_owned(),
            count: self.of(why),
            explanation: why.explanation().to_owned(),
        };
        let all = Discard::ALL.into_iter().map(count);
        all.filter(|discard| discard.count > 0).collect()
    }
}
