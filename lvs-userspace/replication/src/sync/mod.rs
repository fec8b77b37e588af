//! Connections of two directors kept in step, so that either can go on with those of the other.
//!
//! As with IPVS, a *master* sends and a *backup* receives; a director may be both at once, or neither.
//! The options of both outlive lvsd beside the tables.

mod check;
mod discard;
mod feed;
mod link;
mod receive;
mod refresh;
mod replica;
mod send;
mod take;
mod tell;
mod unbound;
mod validate;
pub mod wire;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use self::link::Link;
use self::send::{Group, Sender, Sent};
use self::worker::Worker;
use lvs_api::sync::{
    self, DEFAULT_GROUP, DEFAULT_PORT, DEFAULT_TTL, DiscardCount, SyncDaemon, SyncDaemonStatus,
    SyncRole, SyncStatus,
};
use lvs_dataplane::director::Director;
use lvs_dataplane::kernel::Maps;

pub use discard::{Discard, Discarded};
pub use feed::{Feed, Listener, Wanted};
pub use link::LinkError;
use lvs_dataplane::kernel::Saved;
pub use receive::{Received, Receiver};
pub use refresh::Refreshing;
pub(crate) use replica::Replica;
pub(crate) use take::{BoundReplica, Existing};

/// What all daemons of this director have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// When a master tells of a connection again.
    pub refreshing: Refreshing,
    /// Ports of a group, from its own on (`sync_ports` of IPVS): a master spreads what it tells over them, a
    /// backup listens to all.
    pub ports: u16,
    /// Of persistent services a master tells the templates only (`sync_persist_mode`).
    pub templates_only: bool,
    /// Bytes of a socket's buffer (`sync_sock_size`), 0: the system's default; `None`: this program's.
    pub buffer: Option<u32>,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            refreshing: Refreshing::OFF,
            ports: 1,
            templates_only: false,
            buffer: None,
        }
    }
}

impl Habits {
    /// How many ports a group has whose first is this one: there are none beyond the last.
    fn ports_from(&self, first: u16) -> u16 {
        self.ports.clamp(1, (u16::MAX - first).saturating_add(1))
    }
}

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
    Thread(io::Error),
}

/// The sync daemons of this director.
pub struct Sync {
    director: Arc<Mutex<Director>>,
    maps: Arc<Maps>,
    feed: Arc<Feed>,
    received: Arc<Received>,
    sent: Arc<Sent>,
    habits: Habits,
    /// Of each role one, and more where a backup listens to several ports.
    workers: Mutex<BTreeMap<SyncRole, Vec<Worker>>>,
}

impl Sync {
    /// Starts those that are to run.
    pub fn new(director: Arc<Mutex<Director>>, maps: Arc<Maps>, habits: Habits) -> Self {
        let sync = Self {
            director,
            feed: Arc::new(Feed::new(Arc::clone(&maps))),
            maps,
            received: Arc::default(),
            sent: Arc::default(),
            habits,
            workers: Mutex::default(),
        };
        for role in [SyncRole::Master, SyncRole::Backup] {
            let saved = sync.maps.sync_daemons.read(Saved::index(role));
            let Some(daemon) = saved.and_then(|saved| saved.daemon(role)) else {
                continue;
            };
            // Its interface may come up later.
            match sync.work(&daemon, None) {
                Ok(workers) => _ = sync.workers().insert(role, workers),
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
        let link = Link::open(daemon, self.habits.buffer)?;
        let all = self.work(daemon, Some(link))?;
        workers.insert(daemon.role, all);
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
        if role == SyncRole::Backup {
            self.received.unbound().clear();
        }
        Ok(())
    }

    /// What the program tells about connections.
    pub const fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// How it goes.
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

    fn work(&self, daemon: &SyncDaemon, link: Option<Link>) -> Result<Vec<Worker>, SyncError> {
        let max_length = link::max_length(daemon);
        let daemon = SyncDaemon {
            group: Some(daemon.group.unwrap_or(DEFAULT_GROUP)),
            port: Some(daemon.port.unwrap_or(DEFAULT_PORT)),
            ttl: Some(daemon.ttl.unwrap_or(DEFAULT_TTL)),
            max_length: Some(max_length),
            ..daemon.clone()
        };
        let workers = match daemon.role {
            SyncRole::Master => {
                let group = Group {
                    syncid: daemon.syncid,
                    max_length,
                    ports: self.habits.ports_from(first_port(&daemon)),
                };
                let (maps, sent) = (Arc::clone(&self.maps), Arc::clone(&self.sent));
                let sender = Sender::new(maps, &self.feed, group, sent, self.habits);
                let worker = Worker::start(daemon, self.habits.buffer, link, sender);
                worker.map(|worker| vec![worker])
            }
            SyncRole::Backup => self.listen(&daemon, link),
        };
        workers.map_err(SyncError::Thread)
    }

    /// A backup at each of its ports; of the first one there is a link already, or none.
    fn listen(&self, daemon: &SyncDaemon, mut link: Option<Link>) -> io::Result<Vec<Worker>> {
        let first = first_port(daemon);
        let ports = (first..=u16::MAX).take(self.habits.ports_from(first).into());
        let workers = ports.map(|port| {
            let (director, received) = (Arc::clone(&self.director), Arc::clone(&self.received));
            let daemon = SyncDaemon {
                port: Some(port),
                ..daemon.clone()
            };
            let receiver = Receiver::new(director, daemon.syncid, received);
            Worker::start(daemon, self.habits.buffer, link.take(), receiver)
        });
        workers.collect()
    }

    fn workers(&self) -> MutexGuard<'_, BTreeMap<SyncRole, Vec<Worker>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of a daemon at several ports: the first of them, and what keeps any of them from working.
fn status(all: &[Worker]) -> Option<SyncDaemonStatus> {
    let mut each = all.iter().map(Worker::status);
    let mut status = each.next()?;
    status.problem = status.problem.or_else(|| each.find_map(|it| it.problem));
    Some(status)
}

fn first_port(daemon: &SyncDaemon) -> u16 {
    daemon.port.unwrap_or(DEFAULT_PORT)
}

impl Received {
    fn status(&self) -> sync::Received {
        sync::Received {
            messages: self.messages.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            overflowed: self.overflowed.load(Ordering::Relaxed),
            unbound: self.unbound().len() as u64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_no_ports_beyond_the_last() {
        let habits = Habits {
            ports: 4,
            ..Habits::default()
        };
        let counts = [1, 65_531, 65_532, 65_533, 65_535].map(|first| habits.ports_from(first));
        assert_eq!(counts, [4, 4, 4, 3, 1]);
    }
}
