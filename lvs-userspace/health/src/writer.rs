//! Applies updates to the director's tables, one write for each service, then logs them, publishes their events and
//! runs their commands.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lvs_api::health::Event;
use lvs_api::model::{ServerId, ServerSettings, ServiceId};
use lvs_api::protocol::Edit;
use lvs_dataplane::director::{Director, OnDown};
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc, oneshot};
use tracing::{error, info};

use super::command::{CommandLine, Commands};
use super::overrides::Overrides;
use super::tables::{Change, Name, Update, edits, protocol_name};

/// Most services that are written under one lock of the director.
const AT_ONCE: usize = 64;

/// Longest wait for running commands at the end.
const LAST_COMMANDS: Duration = Duration::from_secs(10);

/// An update, and everything that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The update of the tables.
    pub(crate) update: Update,
    /// Servers that went down or came up, and the fate of their connections.
    pub(crate) turned: Vec<(ServerId, OnDown)>,
    /// Events to be published afterwards.
    pub(crate) events: Vec<Event>,
    /// Commands to be run afterwards.
    pub(crate) commands: Vec<String>,
    /// Command to be run for each event.
    pub(crate) event_command: Option<String>,
}

impl Job {
    /// An update alone.
    pub(crate) const fn new(update: Update) -> Self {
        Self {
            update,
            turned: Vec::new(),
            events: Vec::new(),
            commands: Vec::new(),
            event_command: None,
        }
    }
}

/// A task of the writer.
#[derive(Debug)]
pub(crate) enum Task {
    /// Applies an update.
    Job(Box<Job>),
    /// Writes the overrides to their file.
    Overrides(Overrides, PathBuf),
    /// Answers when everything before it is done.
    Done(oneshot::Sender<()>),
}

/// Carries out tasks in their order, until the senders are dropped. Updates that the tables refuse go to `refused`.
pub(crate) async fn run(
    director: Arc<Mutex<Director>>,
    mut tasks: mpsc::UnboundedReceiver<Task>,
    refused: impl Fn(Update),
    events: broadcast::Sender<Arc<Event>>,
) {
    let mut commands = Commands::default();
    let mut complaints = HashMap::new();
    let mut batch = Vec::new();
    while tasks.recv_many(&mut batch, AT_ONCE).await > 0 {
        let (director, work) = (Arc::clone(&director), std::mem::take(&mut batch));
        let done = match tokio::task::spawn_blocking(move || perform(&director, work)).await {
            Ok(done) => done,
            Err(error) => {
                error!("the tables could not be written: {error}");
                continue;
            }
        };
        for (service, complaint) in done.complaints {
            // The same complaint every few seconds is logged once.
            if complaint != complaints.get(&service).cloned().unwrap_or_default() {
                if !complaint.is_empty() {
                    let name = Name(service);
                    error!("the tables do not take the virtual server {name}: {complaint}");
                }
                complaints.insert(service, complaint);
            }
        }
        done.refused.into_iter().for_each(&refused);
        for job in done.jobs {
            publish(job, &events, &mut commands);
        }
        for answer in done.answers {
            // The receiver may be gone.
            let _ = answer.send(());
        }
    }
    commands.finish(LAST_COMMANDS).await;
}

#[derive(Default)]
struct Done {
    jobs: Vec<Job>,
    refused: Vec<Update>,
    /// The refusal for each service that was to be written; empty: the tables took it.
    complaints: Vec<(ServiceId, String)>,
    answers: Vec<oneshot::Sender<()>>,
}

fn perform(director: &Mutex<Director>, tasks: Vec<Task>) -> Done {
    let mut done = Done::default();
    let mut overrides = None;
    for task in tasks {
        match task {
            Task::Job(job) => done.jobs.push(*job),
            Task::Overrides(newest, path) => overrides = Some((newest, path)),
            Task::Done(answer) => done.answers.push(answer),
        }
    }
    if let Some((overrides, path)) = overrides
        && let Err(error) = overrides.write(&path)
    {
        error!(
            "the overrides are not kept over a restart, {}: {error}",
            path.display()
        );
    }
    if !done.jobs.is_empty() {
        resolve_next_hops(director, &done.jobs);
        let mut jobs = std::mem::take(&mut done.jobs);
        for batch in batches(&mut jobs) {
            write(director, batch, &mut done);
        }
        done.jobs = jobs;
    }
    done
}

/// Jobs in their order, in batches that have each service once: the edits of a job depend on what the tables hold
/// after the job before it.
fn batches(mut jobs: &mut [Job]) -> Vec<&mut [Job]> {
    let mut batches = Vec::new();
    while !jobs.is_empty() {
        let mut known = HashSet::new();
        let again = jobs
            .iter()
            .position(|job| !known.insert(job.update.service));
        let (batch, rest) = jobs.split_at_mut(again.unwrap_or(jobs.len()));
        batches.push(batch);
        jobs = rest;
    }
    batches
}

/// Waits at most 50 ms for the next hops of servers that begin to serve, so that their first packets are not lost.
fn resolve_next_hops(director: &Mutex<Director>, jobs: &[Job]) {
    let serves = |settings: &Option<ServerSettings>| settings.is_some_and(|s| s.weight > 0);
    let starts = |change: &Change| serves(&change.after) && !serves(&change.before);
    let changes = jobs.iter().flat_map(|job| job.update.changes());
    let addresses: BTreeSet<IpAddr> = changes
        .filter(starts)
        .map(|change| change.server.address())
        .collect();
    for _ in 0..10 {
        if addresses.is_empty() || director.lock().expect(&addresses) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Applies jobs of different services, and completes their events with the lines of the log.
fn write(director: &Mutex<Director>, jobs: &mut [Job], done: &mut Done) {
    let mut director = director.lock();
    let planned: Vec<_> = jobs
        .iter()
        .map(|job| edits(&job.update, director.wanted(&job.update.service)))
        .collect();
    let changed = || {
        jobs.iter()
            .zip(&planned)
            .filter(|(_, (edits, _))| !edits.is_empty())
    };
    let all: Vec<(ServiceId, &[Edit])> = changed()
        .map(|(job, (edits, _))| (job.update.service, &edits[..]))
        .collect();
    let mut outcomes = director.apply_together(all).into_iter();
    // From here on no new connection is scheduled to them.
    for job in jobs.iter() {
        for &(server, on_down) in &job.turned {
            director.mark_down(&job.update.service, server, on_down);
        }
    }
    drop(director);
    for (job, (edits, lines)) in jobs.iter_mut().zip(planned) {
        if edits.is_empty() {
            continue;
        }
        let outcome = outcomes.next().unwrap_or(Ok(()));
        let complaint = outcome
            .as_ref()
            .err()
            .map(|refusal| refusal.message.clone());
        done.complaints
            .push((job.update.service, complaint.unwrap_or_default()));
        if outcome.is_err() {
            done.refused.push(job.update.clone());
            continue;
        }
        for (server, line) in lines {
            info!("{line}");
            let about = job.events.iter_mut().filter(|event| event.text.is_empty());
            about
                .filter(|event| event.server == server)
                .for_each(|event| event.text.clone_from(&line));
        }
    }
}

/// A virtual service as lvsadm's verbs take it: `tcp:192.0.2.10:80`.
fn virtual_name(service: ServiceId) -> String {
    format!("{}:{}", protocol_name(&service), Name(service))
}

fn publish(job: Job, events: &broadcast::Sender<Arc<Event>>, commands: &mut Commands) {
    for mut event in job.events {
        if event.text.is_empty() {
            event.text.clone_from(&event.reason);
        }
        match serde_json::to_string(&event) {
            Ok(line) => {
                // The journal has these as fields of its own; a line of text has them in the JSON.
                info!(
                    lvs_event = event.event,
                    lvs_service = event.service.map(virtual_name),
                    lvs_server = event.server.map(tracing::field::display),
                    lvs_reason = event.reason,
                    "event {line}"
                );
                if let Some(command) = &job.event_command {
                    commands.run(
                        "events",
                        CommandLine {
                            line: command.clone(),
                            input: line + "\n",
                        },
                    );
                }
            }
            Err(error) => error!("an event cannot be published: {error}"),
        }
        // There may be no listener.
        let _ = events.send(Arc::new(event));
    }
    let subject = Name(job.update.service).to_string();
    for line in job.commands {
        commands.run(
            &subject,
            CommandLine {
                line,
                input: String::new(),
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Service;
    use crate::service::tests::virtual_service;

    #[test]
    fn jobs_of_one_service_are_written_one_after_the_other() {
        let job = |address: &str, phase| {
            let service = Service::adopt(virtual_service(address, vec![]), None);
            Job::new(service.withdrawal(phase))
        };
        let (one, two) = ("10.9.9.1:80", "10.9.9.2:80");
        let mut jobs = [
            job(one, "a"),
            job(two, "b"),
            job(one, "c"),
            job(one, "d"),
            job(two, "e"),
        ];
        let phases =
            |batch: &mut [Job]| batch.iter().map(|job| job.update.phase).collect::<String>();
        let batches: Vec<_> = batches(&mut jobs).into_iter().map(phases).collect();
        assert_eq!(batches, ["ab", "c", "de"]);
    }
}
