//! Start of the controller.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lvs_api::health::Event;
use lvs_dataplane::director::Director;
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc, watch};
use tracing::error;

use super::handle::Handle;
use super::request::{Request, Tables};
use super::state::Controller;
use crate::agent::Agents;
use crate::closer_look::ProbeFn;
use crate::maintenance;
use crate::model::{Configuration, Globals};
use crate::monitor::Monitor;
use crate::overrides::Overrides;
use crate::runner::Runner;
use crate::watches::Watches;
use crate::writer;

/// Events that wait for a slow listener before it misses some.
const BACKLOG: usize = 4096;

/// Everything a controller is started with.
pub struct ControllerParts {
    /// The configuration.
    pub configuration: Configuration,
    /// Contents of the tables for its services.
    pub tables: Tables,
    /// File that keeps the overrides over a restart.
    pub overrides: PathBuf,
    /// Makes probes.
    pub prober: ProbeFn,
    /// Most sockets of probes that are open at once.
    pub sockets: usize,
}

impl Handle {
    /// Starts the controller. The receiver gets all events from the first one on.
    pub async fn start(
        parts: ControllerParts,
        director: Arc<Mutex<Director>>,
    ) -> (Self, broadcast::Receiver<Arc<Event>>) {
        let (requests, received) = mpsc::unbounded_channel();
        let (events, receiver) = broadcast::channel(BACKLOG);
        let (reports, reported) = mpsc::unbounded_channel();
        let (tasks, to_do) = mpsc::unbounded_channel();
        let (back, agents) = (requests.clone(), requests.clone());
        let refused = move |refused| {
            // At the end there is no controller.
            let _ = back.send(Request::Refused(refused));
        };
        let writer = tokio::spawn(writer::run(director, to_do, refused, events.clone()));
        let directory = parts.configuration.globals.maintenance.clone();
        let maintained = maintenance::read(directory.clone()).await;
        let directory = watch::Sender::new(directory);
        let followed = directory.subscribe();
        let runner = Runner::new(parts.prober, parts.sockets, reports);
        let mut controller = Controller {
            globals: Globals::default(),
            order: Vec::new(),
            services: HashMap::new(),
            watches: Watches::new(runner),
            agents: Agents::new(move |line| agents.send(Request::Agent(line)).is_ok()),
            monitor: Monitor::start(),
            overrides: read_overrides(&parts.overrides),
            overrides_file: parts.overrides,
            maintained,
            directory,
            dirty: HashSet::new(),
            wakes: BTreeMap::new(),
            tasks,
            writer,
            writing: None,
            waiting: Vec::new(),
        };
        controller.reload(parts.configuration, &parts.tables, false);
        controller.reconcile();
        tokio::spawn(controller.run(received, reported));
        let directory_requests = requests.clone();
        tokio::spawn(maintenance::follow(followed, move |maintained| {
            directory_requests
                .send(Request::Maintenance(maintained))
                .is_ok()
        }));
        let handle = Self {
            requests,
            events,
            keeping: Arc::default(),
        };
        (handle, receiver)
    }
}

fn read_overrides(path: &Path) -> Overrides {
    let name = path.display();
    match Overrides::read(path) {
        Ok(overrides) => {
            for entry in overrides.unknown() {
                error!("an override of {name} is not understood, and not in force: {entry}");
            }
            overrides
        }
        Err(error) => {
            error!("the overrides of {name} are lost: {error}");
            Overrides::default()
        }
    }
}
