//! State of the controller.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::Instant;

use lvs_api::model::ServiceId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::agent::Agents;
use crate::maintenance::MaintenanceFiles;
use crate::model::Globals;
use crate::monitor::Monitor;
use crate::overrides::Overrides;
use crate::service::Service;
use crate::watches::Watches;
use crate::writer::Task;

/// All virtual services, and everything that their state follows from.
pub(super) struct Controller {
    pub(super) globals: Globals,
    /// Virtual services in the order of the file.
    pub(super) order: Vec<ServiceId>,
    pub(super) services: HashMap<ServiceId, Service>,
    pub(super) watches: Watches,
    pub(super) agents: Agents,
    pub(super) monitor: Monitor,
    pub(super) overrides: Overrides,
    pub(super) overrides_file: PathBuf,
    pub(super) maintained: MaintenanceFiles,
    pub(super) directory: watch::Sender<Option<PathBuf>>,
    /// Services that have to be reconciled.
    pub(super) dirty: HashSet<ServiceId>,
    pub(super) wakes: BTreeMap<Instant, Vec<ServiceId>>,
    pub(super) tasks: mpsc::UnboundedSender<Task>,
    pub(super) writer: JoinHandle<()>,
    /// Gets a message when the writer has carried out all tasks.
    pub(super) writing: Option<oneshot::Receiver<()>>,
    /// Get a message when every check has had its first outcome.
    pub(super) waiting: Vec<oneshot::Sender<()>>,
}
