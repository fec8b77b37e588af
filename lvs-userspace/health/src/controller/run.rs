//! The task of the controller: takes requests and reports, one after the other.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use super::events;
use super::request::Request;
use super::state::Controller;
use crate::agent::AgentLine;
use crate::clock::now;
use crate::model::Weighing;
use crate::overrides::is_volatile;
use crate::runner::ProbeReport;
use crate::tables::Name;
use crate::watch::Step;
use crate::writer::Task;

/// Time until a refused update is tried again.
const RETRY: Duration = Duration::from_secs(5);

impl Controller {
    pub(super) async fn run(
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
            Request::OverridesAfter(change, answer) => {
                drop(answer.send(self.overrides_after(&change)));
            }
            Request::Override(change, answer) => {
                let result = self.set_override(&change).map(|()| {
                    self.reconcile();
                    // The state of another director may have been mirrored since the file was written.
                    if !is_volatile(&change) {
                        self.save_overrides();
                    }
                    let (done, in_effect) = oneshot::channel();
                    self.enqueue(Task::Done(done));
                    in_effect
                });
                // The receiver may be gone, here and below.
                let _ = answer.send(result);
            }
            Request::Health(answer) => drop(answer.send(self.listing())),
            Request::Reload {
                configuration,
                tables,
                whole,
                answer,
            } => {
                self.reload(*configuration, &tables, whole);
                self.reconcile();
                self.enqueue(Task::Done(answer));
            }
            Request::SynRetries(all) => {
                for found in all {
                    self.watches
                        .nudge(&self.services, &found.service, found.server);
                    self.observe(&found);
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
            Request::Configured(answer) => drop(answer.send(self.configured())),
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
            let again = report.step == Step::Skipped && server.was_skipped(subscriber.check);
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
                events::step(&service.configured, server, report);
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

    /// Withdraws the services that are not to outlive the daemon.
    async fn stop(self, answer: oneshot::Sender<()>) {
        // Probes end before anything is withdrawn.
        drop(self.watches);
        for service in self.order.iter().filter_map(|id| self.services.get(id)) {
            if service.configured.clean_stop {
                let job = events::withdrawal(service, "stop", &self.globals);
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
