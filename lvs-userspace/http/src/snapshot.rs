//! The director at one moment.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_api::health::{Event, Health};
use lvs_api::peers::PeersStatus;
use lvs_api::protocol::{Services, Status, VerdictCount};
use lvs_api::role::RoleStatus;
use lvs_api::sync::SyncStatus;
use tokio::sync::{Mutex, mpsc};

/// The director at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Virtual services and real servers as the tables have them.
    pub services: Services,
    /// State of real servers; none: nobody checks them.
    pub health: Option<Health>,
    /// Daemon, interfaces, tables.
    pub status: Status,
    /// Packets by verdict.
    pub verdicts: Vec<VerdictCount>,
    /// Sessions with other directors.
    pub peers: PeersStatus,
    /// The daemons of IPVS's protocol.
    pub sync: SyncStatus,
    /// The role.
    pub role: RoleStatus,
    /// The configuration.
    pub config: ConfigStatus,
}

/// The configuration, and the last attempt to read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigStatus {
    /// Digest of services, real servers and settings, which peers compare.
    pub digest: String,
    /// The last reading succeeded; none: there is no file.
    pub successful: Option<bool>,
    /// Seconds since 1970 at which the configuration in effect was read.
    pub read_at: u64,
}

/// An answer that takes its time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The source of values.
pub trait Source: Send + Sync + 'static {
    /// The director now; none: the daemon is stopping.
    fn snapshot(&self) -> Pending<'_, Option<Snapshot>>;

    /// Virtual services and real servers now; none: the daemon is stopping.
    fn services(&self) -> Pending<'_, Option<Services>>;

    /// Events from now on.
    fn events(&self) -> mpsc::Receiver<Arc<Event>>;
}

/// Age up to which a snapshot is good for a second asker.
const FRESH: Duration = Duration::from_secs(1);

/// Snapshots for all who ask, one at a time.
pub(crate) struct Snapshots {
    source: Arc<dyn Source>,
    last: Mutex<Option<(Instant, Arc<Snapshot>)>>,
}

impl Snapshots {
    pub(crate) fn new(source: Arc<dyn Source>) -> Self {
        let last = Mutex::default();
        Self { source, last }
    }

    /// Their source.
    pub(crate) const fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The director a second ago at most; none: the daemon is stopping.
    pub(crate) async fn read(self: &Arc<Self>) -> Option<Arc<Snapshot>> {
        // A task of its own: what is begun goes on when the client goes away, and must not be begun a second time.
        tokio::spawn(Arc::clone(self).read_now()).await.ok()?
    }

    async fn read_now(self: Arc<Self>) -> Option<Arc<Snapshot>> {
        let mut last = self.last.lock().await;
        if let Some((taken, snapshot)) = &*last
            && taken.elapsed() < FRESH
        {
            return Some(Arc::clone(snapshot));
        }
        // The old one first: both would be twice the memory.
        *last = None;
        let snapshot = Arc::new(self.source.snapshot().await?);
        *last = Some((Instant::now(), Arc::clone(&snapshot)));
        drop(last);
        let all = Arc::clone(&self);
        tokio::spawn(async move {
            tokio::time::sleep(FRESH).await;
            let mut last = all.last.lock().await;
            if last
                .as_ref()
                .is_some_and(|(taken, _)| taken.elapsed() >= FRESH)
            {
                *last = None;
            }
        });
        Some(snapshot)
    }
}
