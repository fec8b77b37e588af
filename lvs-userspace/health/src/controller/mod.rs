//! The controller: takes reports of probes, overrides of the operator and new configurations, and sends updates of
//! the tables to the writer. One task holds all state; nothing in it waits for the network, the disk or the kernel.

mod dictation;
mod difference;
mod handle;
mod listing;
mod reload;
mod tell;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{error, info};

use self::handle::Request;
pub use self::handle::{ControllerParts, Handle, Tables};
use super::agent::{AgentLine, Agents};
use super::maintenance::{self, MaintenanceFiles};
use super::monitor::Monitor;
use super::orders::{self, Overrides};
use super::runner::{ProbeReport, Runner, now};
use super::server::Server;
use super::service::{Service, StateChange};
use super::tables::Name;
use super::watch::Step;
use super::watches::Watches;
use super::writer::{self, Job, Task};
use crate::model::{Globals, Weighing};
use lvs_api::health::{Event, Override, State};
use lvs_api::model::{ServerId, ServiceId};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_dataplane::director::{Director, OnDown};

/// Time until a refused update is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Events that wait for a slow listener before it misses some.
const BACKLOG: usize = 4096;

/// All virtual services, and everything that their state follows from.
struct Controller {
    globals: Globals,
    /// Virtual services in the order of the file.
    order: Vec<ServiceId>,
    services: HashMap<ServiceId, Service>,
    watches: Watches,
    agents: Agents,
    monitor: Monitor,
    overrides: Overrides,
    overrides_file: PathBuf,
    maintained: MaintenanceFiles,
    directory: watch::Sender<Option<PathBuf>>,
    /// Services that have to be reconciled.
    dirty: HashSet<ServiceId>,
    wakes: BTreeMap<Instant, Vec<ServiceId>>,
    tasks: mpsc::UnboundedSender<Task>,
    writer: JoinHandle<()>,
    /// Gets a message when the writer has carried out all tasks.
    writing: Option<oneshot::Receiver<()>>,
    /// Get a message when every check has had its first outcome.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Controller {
    async fn start(
        parts: ControllerParts,
        director: Arc<Mutex<Director>>,
    ) -> (Handle, broadcast::Receiver<Arc<Event>>) {
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
        let mut controller = Self {
            globals: Globals::default(),
            order: Vec::new(),
            services: HashMap::new(),
            watches: Watches::new(runner),
            agents: Agents::new(move |line| agents.send(Request::Agent(line)).is_ok()),
            monitor: Monitor::start(),
            overrides: Overrides::read(&parts.overrides).unwrap_or_else(|error| {
                let path = parts.overrides.display();
                error!("the overrides of {path} are lost: {error}");
                Overrides::default()
            }),
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
        controller.reload(parts.configuration, &parts.tables);
        controller.reconcile();
        tokio::spawn(controller.run(received, reported));
        let directory_requests = requests.clone();
        tokio::spawn(maintenance::follow(followed, move |maintained| {
            directory_requests
                .send(Request::Maintenance(maintained))
                .is_ok()
        }));
        (Handle { requests, events }, receiver)
    }

    async fn run(
        mut self,
        mut requests: mpsc::UnboundedReceiver<Request>,
        mut reports: mpsc::UnboundedReceiver<ProbeReport>,
    ) {
        let mut batch = Vec::new();
        loop {
            let wake = self.wakes.keys().next().map(|&moment| moment.into());
            let far = tokio::time::Instant::now() + Duration::from_hours(1);
            tokio::select! {
                _ = reports.recv_many(&mut batch, 1024) => {
                    for report in batch.drain(..) {
                        self.record(&report);
                    }
                }
                request = requests.recv() => match request {
                    None => return,
                    Some(Request::Stop(answer)) => return self.stop(answer).await,
                    Some(request) => self.serve(request),
                },
                () = tokio::time::sleep_until(wake.unwrap_or(far)) => self.wake(),
                () = written(&mut self.writing) => self.writing = None,
            }
            if self.writing.is_none() {
                // All changes while the tables are written become one write for each service.
                self.reconcile();
            }
            let clean = self.dirty.is_empty() && !self.waiting.is_empty();
            if clean && self.watches.all_probed(&self.services) {
                for answer in std::mem::take(&mut self.waiting) {
                    self.enqueue(Task::Done(answer));
                }
            }
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Override(change, answer) => {
                let result = self.set_override(&change).map(|()| {
                    self.reconcile();
                    self.save_overrides();
                    let (done, in_effect) = oneshot::channel();
                    self.enqueue(Task::Done(done));
                    in_effect
                });
                // The receiver may be gone, here and below.
                let _ = answer.send(result);
            }
            Request::Health(answer) => drop(answer.send(self.listing())),
            Request::Reload(configuration, tables, answer) => {
                self.reload(*configuration, &tables);
                self.reconcile();
                self.enqueue(Task::Done(answer));
            }
            Request::Nudge(servers) => {
                for (service, server) in servers {
                    self.watches.nudge(&self.services, &service, server);
                }
            }
            Request::Refused(refused) => {
                if let Some(service) = self.services.get_mut(&refused.service) {
                    service.refused(&refused);
                    let later = self.wakes.entry(now() + RETRY).or_default();
                    later.push(refused.service);
                }
            }
            Request::Maintenance(maintained) => {
                self.maintained = maintained;
                for id in self.order.clone() {
                    self.apply_maintenance(&id);
                }
            }
            Request::Agent(line) => self.record_agent_line(&line),
            Request::FirstOutcomes(answer) => self.waiting.push(answer),
            Request::Views(answer) => drop(answer.send(self.views())),
            Request::Mirror(views) => self.mirror(&views),
            Request::Unmirror => self.unmirror(),
            Request::Stop(_) => {}
        }
    }

    /// Records the report of a probe.
    fn record(&mut self, report: &ProbeReport) {
        for subscriber in self.watches.record(report) {
            let Some(service) = self.services.get_mut(&subscriber.service) else {
                continue;
            };
            let Some(server) = service.servers.get_mut(subscriber.server) else {
                continue;
            };
            if server.is_paused() {
                continue;
            }
            let before = server.state();
            // Logged once, not at each interval.
            let skipped = |server: &Server| server.last.as_ref().is_some_and(|o| o.inconclusive);
            let again = report.step == Step::Skipped && skipped(server);
            server.record(subscriber.check, report.view, Some(&report.outcome));
            let check = server.configured.checks.get(subscriber.check);
            if let (Some(file), Some(check)) = (&service.configured.monitor_file, check) {
                let id = server.configured.id;
                self.monitor
                    .append(file, &subscriber.service, id, check, &report.outcome);
            }
            let follows = server.configured.weighing != Weighing::Configured;
            if follows || server.next_state() != before {
                self.dirty.insert(subscriber.service);
            }
            if !again {
                tell::step(&service.configured, server, report);
            }
        }
    }

    /// Records a line of an agent.
    fn record_agent_line(&mut self, received: &AgentLine) {
        let Some(service) = self.services.get_mut(&received.service) else {
            return;
        };
        let mut servers = service.servers.iter_mut();
        if let Some(server) = servers.find(|server| server.configured.id == received.server) {
            let before = server.agent.clone();
            server.agent.apply(&received.line);
            if server.agent != before {
                let (address, line) = (received.server.0, received.line.trim());
                info!(
                    "the agent of {address} ({}) says {line:?}",
                    Name(received.service)
                );
                self.dirty.insert(received.service);
            }
        }
    }

    /// Applies an override to all servers that it names.
    fn set_override(&mut self, change: &Override) -> Result<(), Refusal> {
        let mut found = Vec::new();
        for id in &self.order {
            let servers = self.services.get(id).map_or(&[][..], |s| &s.servers);
            let servers = servers.iter().map(|server| server.configured.id);
            found.extend(
                servers
                    .filter(|s| orders::applies_to(change, id, s))
                    .map(|s| (*id, s)),
            );
        }
        if found.is_empty() {
            let message = "no such real server is looked after";
            return Err(Refusal::new(RefusalKind::NoSuchServer, message));
        }
        for (id, server) in found {
            self.overrides.apply(id, server, change);
            self.apply_overrides(&id, true);
        }
        Ok(())
    }

    /// Applies the overrides in force to the servers of a service; `report`: changes become events.
    fn apply_overrides(&mut self, id: &ServiceId, report: bool) {
        let Some(service) = self.services.get_mut(id) else {
            return;
        };
        for server in &mut service.servers {
            let (address, admin) = (server.configured.id, server.admin);
            let current = self.overrides.of(id, &address);
            (server.admin, server.weight_override) = (current.state, current.weight);
            if report && admin != current.state {
                service
                    .pending
                    .push(StateChange::Admin(address, current.state));
            }
        }
        self.dirty.insert(*id);
        self.watches.update_pauses(&mut self.services, id);
    }

    /// Takes out the servers of a service that files of the maintenance directory name, and no others.
    fn apply_maintenance(&mut self, id: &ServiceId) {
        let Some(service) = self.services.get_mut(id) else {
            return;
        };
        let mut changed = false;
        for server in &mut service.servers {
            let maintenance = self.maintained.names(server);
            if server.maintenance != maintenance {
                server.maintenance = maintenance;
                let change = StateChange::Maintenance(server.configured.id, maintenance);
                service.pending.push(change);
                changed = true;
            }
        }
        if changed {
            self.dirty.insert(*id);
            self.watches.update_pauses(&mut self.services, id);
        }
    }

    /// Marks the services whose moment has come.
    fn wake(&mut self) {
        let now = now();
        while let Some(entry) = self.wakes.first_entry() {
            if *entry.key() > now {
                return;
            }
            self.dirty.extend(entry.remove());
        }
    }

    /// Reconciles all dirty services, and sends their updates to the writer.
    fn reconcile(&mut self) {
        let now = now();
        let mut anything = false;
        for id in std::mem::take(&mut self.dirty) {
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let reconciled = service.reconcile(now);
            if let Some(wake) = reconciled.wake {
                self.wakes.entry(wake).or_default().push(id);
            }
            if reconciled.update.is_empty() && reconciled.changes.is_empty() {
                continue;
            }
            let time = tell::seconds_since_1970();
            tell::stamp(service, &reconciled.changes, time);
            let job = Job {
                turned: turned(&reconciled.changes, service.configured.on_down),
                events: tell::events(service, &reconciled.changes, time),
                commands: tell::commands(service, &reconciled.changes),
                event_command: self.globals.event_command.clone(),
                ..Job::new(reconciled.update)
            };
            self.enqueue(Task::Job(Box::new(job)));
            anything = true;
        }
        if anything {
            let (done, written) = oneshot::channel();
            self.enqueue(Task::Done(done));
            self.writing = Some(written);
        }
    }

    fn save_overrides(&self) {
        let (overrides, file) = (self.overrides.clone(), self.overrides_file.clone());
        self.enqueue(Task::Overrides(overrides, file));
    }

    fn enqueue(&self, task: Task) {
        if self.tasks.send(task).is_err() {
            error!("the tables are not written any more: the writer has ended");
        }
    }

    /// Withdraws the services that are not to outlive the daemon.
    async fn stop(self, answer: oneshot::Sender<()>) {
        // Probes end before anything is withdrawn.
        drop(self.watches);
        for service in self.order.iter().filter_map(|id| self.services.get(id)) {
            if service.configured.clean_stop {
                let job = tell::withdrawal(service, "stop", &self.globals);
                // The writer may have ended.
                let _ = self.tasks.send(Task::Job(Box::new(job)));
            }
        }
        drop(self.tasks);
        if let Err(error) = self.writer.await {
            error!("the tables may not be as they should: {error}");
        }
        let _ = answer.send(());
    }
}

/// Ends when the writer has carried out its last task.
async fn written(writing: &mut Option<oneshot::Receiver<()>>) {
    match writing {
        // The writer may have ended.
        Some(written) => drop(written.await),
        None => std::future::pending().await,
    }
}

/// Servers whose state changed, and the fate of their connections.
fn turned(changes: &[StateChange], on_down: OnDown) -> Vec<(ServerId, OnDown)> {
    let turned = changes.iter().filter_map(|changes| match changes {
        StateChange::Server(server, State::Down) => Some((*server, on_down)),
        StateChange::Server(server, State::Up) => Some((*server, OnDown::Keep)),
        _ => None,
    });
    turned.collect()
}
