//! Writes what the controller wants into the director's tables, one write for each service, and tells
//! the log and everybody who listens what happened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use tracing::{error, info};

use super::command::{CommandLine, Commands};
use super::orders::Orders;
use super::tables::{Change, Name, Whole, Wish, edits};
use crate::config::ldirectord::OnDown;
use crate::control::health::Event;
use crate::control::protocol::Edit;
use crate::control::server::Control;
use crate::model::{ServerId, ServiceId};

/// Services that are written while the director is held: others want it, too.
const AT_ONCE: usize = 64;

/// Longest time that commands are waited for at the end.
const LAST_COMMANDS: Duration = Duration::from_secs(10);

/// Something to be written.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which service.
    pub service: ServiceId,
    /// What becomes of it.
    pub wish: Wish,
    /// All that is wanted of it.
    pub whole: Whole,
    /// Entries of weight 0 are made again.
    pub readd: bool,
    /// Servers that went down or came up, and what becomes of their connections.
    pub turned: Vec<(ServerId, OnDown)>,
    /// `start`, `stop`.
    pub phase: &'static str,
    /// To be told afterwards.
    pub events: Vec<Event>,
    /// To be run afterwards.
    pub commands: Vec<String>,
    /// Run for each event.
    pub event_command: Option<String>,
}

/// What the writer does, one after the other.
#[derive(Debug)]
pub enum Task {
    /// Writes.
    Job(Box<Job>),
    /// Keeps the orders in their file.
    Orders(Orders, PathBuf),
    /// Tells that everything before is done.
    Done(oneshot::Sender<()>),
}

/// The tables did not take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which service.
    pub service: ServiceId,
    /// What is still to be done.
    pub changes: Vec<Change>,
}

/// Does what there is to do, in its order, until there is no more, and runs the commands that belong to
/// it.
pub async fn run(
    control: Arc<Control>,
    mut tasks: mpsc::UnboundedReceiver<Task>,
    refused: impl Fn(Refused),
    events: broadcast::Sender<Arc<Event>>,
) {
    let mut commands = Commands::default();
    let mut batch = Vec::new();
    while tasks.recv_many(&mut batch, AT_ONCE).await > 0 {
        let (control, work) = (Arc::clone(&control), std::mem::take(&mut batch));
        let done = match tokio::task::spawn_blocking(move || act(&control, work)).await {
            Ok(done) => done,
            Err(error) => {
                error!("the tables could not be written: {error}");
                continue;
            }
        };
        done.refused.into_iter().for_each(&refused);
        for job in done.jobs {
            publish(job, &events, &mut commands);
        }
        for answer in done.answers {
            // Whoever asked may have gone.
            let _ = answer.send(());
        }
    }
    commands.finish(LAST_COMMANDS).await;
}

#[derive(Default)]
struct Done {
    jobs: Vec<Job>,
    refused: Vec<Refused>,
    answers: Vec<oneshot::Sender<()>>,
}

fn act(control: &Control, tasks: Vec<Task>) -> Done {
    let mut done = Done::default();
    let mut orders = None;
    for task in tasks {
        match task {
            Task::Job(job) => done.jobs.push(*job),
            Task::Orders(newest, path) => orders = Some((newest, path)),
            Task::Done(answer) => done.answers.push(answer),
        }
    }
    if let Some((orders, path)) = orders
        && let Err(error) = orders.write(&path)
    {
        error!(
            "the orders are not kept over a restart, {}: {error}",
            path.display()
        );
    }
    if !done.jobs.is_empty() {
        done.refused = write(control, &mut done.jobs);
    }
    done
}

/// Writes all jobs, and completes their events with the lines of the log.
fn write(control: &Control, jobs: &mut [Job]) -> Vec<Refused> {
    let mut director = control.director();
    let planned: Vec<_> = jobs
        .iter()
        .map(|job| {
            let current = director.wanted(&job.service);
            edits(
                &job.service,
                &job.wish,
                &job.whole,
                current,
                job.readd,
                job.phase,
            )
        })
        .collect();
    let changed = || {
        jobs.iter()
            .zip(&planned)
            .filter(|(_, (edits, _))| !edits.is_empty())
    };
    let all: Vec<(ServiceId, &[Edit])> = changed()
        .map(|(job, (edits, _))| (job.service, &edits[..]))
        .collect();
    let mut outcomes = director.apply_together(all).into_iter();
    // Only now nothing new is scheduled to them.
    for job in jobs.iter() {
        for &(server, on_down) in &job.turned {
            director.mark_down(&job.service, server, on_down);
        }
    }
    drop(director);
    let mut refused = Vec::new();
    for (job, (edits, lines)) in jobs.iter_mut().zip(planned) {
        let outcome = if edits.is_empty() {
            Ok(())
        } else {
            outcomes.next().unwrap_or(Ok(()))
        };
        if let Err(refusal) = outcome {
            let name = Name(job.service);
            error!(
                "the tables do not take the virtual server {name}: {}",
                refusal.message
            );
            let changes = match &job.wish {
                Wish::Kept { changes, .. } => changes.clone(),
                Wish::Withdrawn => Vec::new(),
            };
            refused.push(Refused {
                service: job.service,
                changes,
            });
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
    refused
}

fn publish(job: Job, events: &broadcast::Sender<Arc<Event>>, commands: &mut Commands) {
    for mut event in job.events {
        if event.text.is_empty() {
            event.text.clone_from(&event.reason);
        }
        match serde_json::to_string(&event) {
            Ok(line) => {
                info!("event {line}");
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
            Err(error) => error!("an event cannot be told: {error}"),
        }
        // Nobody has to listen.
        let _ = events.send(Arc::new(event));
    }
    let subject = Name(job.service).to_string();
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
