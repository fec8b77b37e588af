//! The controller: hears what probes find, what the operator orders and what the file says, and tells
//! the tables. One task holds everything; nothing in it waits for the network, the disk or the kernel.

mod dictation;
mod difference;
mod handle;
mod listing;
mod reload;
mod tell;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{error, info};

use self::handle::Request;
pub use self::handle::{Beginning, Handle, Tables};
use super::agent::{Agents, Said};
use super::maintenance::{self, Maintained};
use super::monitor::Monitor;
use super::orders::{self, Orders};
use super::runner::{Report, Runner, now};
use super::server::Server;
use super::service::{Happened, Service};
use super::tables::Name;
use super::watch::Step;
use super::watches::Watches;
use super::writer::{self, Job, Task};
use crate::model::{Globals, Weighing};
use lvs_api::health::{Event, Order, State};
use lvs_api::model::{ServerId, ServiceId};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_dataplane::director::{Director, OnDown};

/// How long the tables are left alone after they refused something.
const RETRY: Duration = Duration::from_secs(5);

/// Events that a listener may be behind before it misses some.
const BACKLOG: usize = 4096;

/// All that is looked after.
struct Controller {
    globals: Globals,
    /// In the order of the file.
    order: Vec<ServiceId>,
    services: HashMap<ServiceId, Service>,
    watches: Watches,
    agents: Agents,
    monitor: Monitor,
    orders: Orders,
    orders_file: PathBuf,
    maintained: Maintained,
    directory: watch::Sender<Option<PathBuf>>,
    /// Services that something happened to.
    stirred: HashSet<ServiceId>,
    wakes: BTreeMap<Instant, Vec<ServiceId>>,
    tasks: mpsc::UnboundedSender<Task>,
    writer: JoinHandle<()>,
    /// Told when the writer has done all that was asked of it.
    writing: Option<oneshot::Receiver<()>>,
    /// Who waits for the first outcomes of all.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Controller {
    async fn begin(
        beginning: Beginning,
        director: Arc<Mutex<Director>>,
    ) -> (Handle, broadcast::Receiver<Arc<Event>>) {
        let (requests, received) = mpsc::unbounded_channel();
        let (events, heard) = broadcast::channel(BACKLOG);
        let (reports, reported) = mpsc::unbounded_channel();
        let (tasks, to_do) = mpsc::unbounded_channel();
        let (back, listener) = (requests.clone(), requests.clone());
        let refused = move |refused| {
            // At the end nobody wants to know.
            let _ = back.send(Request::Refused(refused));
        };
        let writer = tokio::spawn(writer::run(director, to_do, refused, events.clone()));
        let directory = beginning.configuration.globals.maintenance.clone();
        let maintained = maintenance::look(directory.clone()).await;
        let directory = watch::Sender::new(directory);
        let followed = directory.subscribe();
        let runner = Runner::new(beginning.prober, beginning.sockets, reports);
        let mut controller = Self {
            globals: Globals::default(),
            order: Vec::new(),
            services: HashMap::new(),
            watches: Watches::new(runner),
            agents: Agents::new(move |said| listener.send(Request::Agent(said)).is_ok()),
            monitor: Monitor::begin(),
            orders: Orders::read(&beginning.orders).unwrap_or_else(|error| {
                let path = beginning.orders.display();
                error!("the orders of {path} are forgotten: {error}");
                Orders::default()
            }),
            orders_file: beginning.orders,
            maintained,
            directory,
            stirred: HashSet::new(),
            wakes: BTreeMap::new(),
            tasks,
            writer,
            writing: None,
            waiting: Vec::new(),
        };
        controller.reload(beginning.configuration, &beginning.tables);
        controller.settle();
        tokio::spawn(controller.run(received, reported));
        let teller = requests.clone();
        tokio::spawn(maintenance::follow(followed, move |maintained| {
            teller.send(Request::Maintained(maintained)).is_ok()
        }));
        (Handle { requests, events }, heard)
    }

    async fn run(
        mut self,
        mut requests: mpsc::UnboundedReceiver<Request>,
        mut reports: mpsc::UnboundedReceiver<Report>,
    ) {
        let mut batch = Vec::new();
        loop {
            let wake = self.wakes.keys().next().map(|&moment| moment.into());
            let far = tokio::time::Instant::now() + Duration::from_hours(1);
            tokio::select! {
                _ = reports.recv_many(&mut batch, 1024) => {
                    for report in batch.drain(..) {
                        self.hear(&report);
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
                // What happens while the tables are written comes to one write for each service.
                self.settle();
            }
            let settled = self.stirred.is_empty() && !self.waiting.is_empty();
            if settled && self.watches.have_answered(&self.services) {
                for answer in std::mem::take(&mut self.waiting) {
                    self.enqueue(Task::Done(answer));
                }
            }
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Order(order, answer) => {
                let obeyed = self.obey(&order).map(|()| {
                    self.settle();
                    self.keep_orders();
                    let (done, in_effect) = oneshot::channel();
                    self.enqueue(Task::Done(done));
                    in_effect
                });
                // Whoever asked may have gone, here and below.
                let _ = answer.send(obeyed);
            }
            Request::Health(answer) => drop(answer.send(self.listing())),
            Request::Reload(configuration, tables, answer) => {
                self.reload(*configuration, &tables);
                self.settle();
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
            Request::Maintained(maintained) => {
                self.maintained = maintained;
                for id in self.order.clone() {
                    self.take_out(&id);
                }
            }
            Request::Agent(said) => self.listen(&said),
            Request::Answered(answer) => self.waiting.push(answer),
            Request::Verdicts(answer) => drop(answer.send(self.verdicts())),
            Request::Dictate(verdicts) => self.dictate(&verdicts),
            Request::Free => self.free(),
            Request::Stop(_) => {}
        }
    }

    /// A probe ended.
    fn hear(&mut self, report: &Report) {
        for subscriber in self.watches.heard(report) {
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
            // Told once, not at each interval.
            let skipped = |server: &Server| server.last.as_ref().is_some_and(|o| o.inconclusive);
            let again = report.step == Step::Skipped && skipped(server);
            server.hear(subscriber.check, report.view, Some(&report.outcome));
            let check = server.configured.checks.get(subscriber.check);
            if let (Some(file), Some(check)) = (&service.configured.monitor_file, check) {
                let id = server.configured.id;
                self.monitor
                    .note(file, &subscriber.service, id, check, &report.outcome);
            }
            let follows = server.configured.weighing != Weighing::Configured;
            if follows || server.would_be() != before {
                self.stirred.insert(subscriber.service);
            }
            if !again {
                tell::step(&service.configured, server, report);
            }
        }
    }

    /// An agent said something.
    fn listen(&mut self, said: &Said) {
        let Some(service) = self.services.get_mut(&said.service) else {
            return;
        };
        let mut servers = service.servers.iter_mut();
        if let Some(server) = servers.find(|server| server.configured.id == said.server) {
            let before = server.agent.clone();
            server.agent.read(&said.line);
            if server.agent != before {
                let (address, line) = (said.server.0, said.line.trim());
                info!(
                    "the agent of {address} ({}) says {line:?}",
                    Name(said.service)
                );
                self.stirred.insert(said.service);
            }
        }
    }

    /// Does what the operator says.
    fn obey(&mut self, order: &Order) -> Result<(), Refusal> {
        let mut found = Vec::new();
        for id in &self.order {
            let servers = self.services.get(id).map_or(&[][..], |s| &s.servers);
            let servers = servers.iter().map(|server| server.configured.id);
            found.extend(
                servers
                    .filter(|s| orders::is_for(order, id, s))
                    .map(|s| (*id, s)),
            );
        }
        if found.is_empty() {
            let message = "no such real server is looked after";
            return Err(Refusal::new(RefusalKind::NoSuchServer, message));
        }
        for (id, server) in found {
            self.orders.take(id, server, order);
            self.take_orders(&id, true);
        }
        Ok(())
    }

    /// Makes the servers of a service obey the orders in force.
    fn take_orders(&mut self, id: &ServiceId, tell: bool) {
        let Some(service) = self.services.get_mut(id) else {
            return;
        };
        for server in &mut service.servers {
            let (address, admin) = (server.configured.id, server.admin);
            let ordered = self.orders.of(id, &address);
            (server.admin, server.ordered) = (ordered.state, ordered.weight);
            if tell && admin != ordered.state {
                service.done.push(Happened::Admin(address, ordered.state));
            }
        }
        self.stirred.insert(*id);
        self.watches.pace(&mut self.services, id);
    }

    /// Takes out the servers of a service that are in maintenance, and no others.
    fn take_out(&mut self, id: &ServiceId) {
        let Some(service) = self.services.get_mut(id) else {
            return;
        };
        let mut changed = false;
        for server in &mut service.servers {
            let maintenance = self.maintained.names(server);
            if server.maintenance != maintenance {
                server.maintenance = maintenance;
                let happened = Happened::Maintenance(server.configured.id, maintenance);
                service.done.push(happened);
                changed = true;
            }
        }
        if changed {
            self.stirred.insert(*id);
            self.watches.pace(&mut self.services, id);
        }
    }

    /// The time has come for something to change by itself.
    fn wake(&mut self) {
        let now = now();
        while let Some(entry) = self.wakes.first_entry() {
            if *entry.key() > now {
                return;
            }
            self.stirred.extend(entry.remove());
        }
    }

    /// Draws the conclusions for all services that something happened to.
    fn settle(&mut self) {
        let now = now();
        let mut anything = false;
        for id in std::mem::take(&mut self.stirred) {
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let settled = service.settle(now);
            if let Some(wake) = settled.wake {
                self.wakes.entry(wake).or_default().push(id);
            }
            if settled.update.is_empty() && settled.happened.is_empty() {
                continue;
            }
            let time = tell::seconds_since_1970();
            tell::stamp(service, &settled.happened, time);
            let job = Job {
                turned: turned(&settled.happened, service.configured.on_down),
                events: tell::events(service, &settled.happened, time),
                commands: tell::commands(service, &settled.happened),
                event_command: self.globals.event_command.clone(),
                ..Job::new(settled.update)
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

    fn keep_orders(&self) {
        let (orders, file) = (self.orders.clone(), self.orders_file.clone());
        self.enqueue(Task::Orders(orders, file));
    }

    fn enqueue(&self, task: Task) {
        if self.tasks.send(task).is_err() {
            error!("the tables are not written any more: the writer has ended");
        }
    }

    /// Withdraws the services that are not to outlive the daemon.
    async fn stop(self, answer: oneshot::Sender<()>) {
        // Before anything is withdrawn: nobody is probed any more.
        drop(self.watches);
        for service in self.order.iter().filter_map(|id| self.services.get(id)) {
            if service.configured.clean_stop {
                let job = tell::withdrawal(service, "stop", &self.globals);
                // Without a writer there is nothing to withdraw from.
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

/// Ends when the writer is done with what it was given last.
async fn written(writing: &mut Option<oneshot::Receiver<()>>) {
    match writing {
        // A writer that has ended will not write any more.
        Some(written) => drop(written.await),
        None => std::future::pending().await,
    }
}

/// What becomes of the connections of servers whose state is another one now.
fn turned(happened: &[Happened], on_down: OnDown) -> Vec<(ServerId, OnDown)> {
    let turned = happened.iter().filter_map(|happened| match happened {
        Happened::Server(server, State::Down) => Some((*server, on_down)),
        Happened::Server(server, State::Up) => Some((*server, OnDown::Keep)),
        _ => None,
    });
    turned.collect()
}
