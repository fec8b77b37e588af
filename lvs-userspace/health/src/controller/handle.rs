//! The way to a running controller.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::Controller;
use crate::agent::AgentLine;
use crate::maintenance::MaintenanceFiles;
use crate::model::Configuration;
use crate::runner::ProbeFn;
use crate::tables::Update;
use crate::verdict::ServerView;
use lvs_api::health::{Event, Health, Override};
use lvs_api::model::{ServerId, ServiceId};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_dataplane::director::{Director, Wanted};

/// Contents of the tables for the services of a file.
pub type Tables = HashMap<ServiceId, Wanted>;

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

/// A request to the controller.
#[derive(Debug)]
pub(super) enum Request {
    /// Answered at once with a refusal, or with a receiver that gets a message when it is in effect.
    Override(
        Override,
        oneshot::Sender<Result<oneshot::Receiver<()>, Refusal>>,
    ),
    Health(oneshot::Sender<Health>),
    Reload(Box<Configuration>, Tables, oneshot::Sender<()>),
    Nudge(Vec<(ServiceId, ServerId)>),
    Refused(Update),
    Maintenance(MaintenanceFiles),
    Agent(AgentLine),
    FirstOutcomes(oneshot::Sender<()>),
    Views(oneshot::Sender<Vec<ServerView>>),
    Mirror(Vec<ServerView>),
    Unmirror,
    Stop(oneshot::Sender<()>),
}

/// Sends requests to a running controller.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) requests: mpsc::UnboundedSender<Request>,
    pub(super) events: broadcast::Sender<Arc<Event>>,
}

impl Handle {
    /// Starts the controller. The receiver gets all events from the first one on.
    pub async fn start(
        parts: ControllerParts,
        director: Arc<Mutex<Director>>,
    ) -> (Self, broadcast::Receiver<Arc<Event>>) {
        Controller::start(parts, director).await
    }

    /// Sends a request and waits for the answer; none if the controller has ended.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).ok()?;
        answered.await.ok()
    }

    /// Applies an operator's override; returns when it is in effect.
    pub async fn set_override(&self, change: Override) -> Result<(), Refusal> {
        let in_effect = self.ask(|answer| Request::Override(change, answer)).await;
        let ended = || Refusal::new(RefusalKind::Internal, "the controller has ended");
        in_effect.ok_or_else(ended)??.await.map_err(|_| ended())
    }

    /// State of all servers, without the fields that only the tables know.
    pub async fn health(&self) -> Health {
        self.ask(Request::Health).await.unwrap_or_default()
    }

    /// Takes a new configuration; returns when the tables follow it.
    pub async fn reload(&self, configuration: Configuration, tables: Tables) {
        let configuration = Box::new(configuration);
        self.ask(|answer| Request::Reload(configuration, tables, answer))
            .await;
    }

    /// Probes these servers at once: there are signs that they are dead.
    pub fn nudge(&self, servers: Vec<(ServiceId, ServerId)>) {
        // A controller that has ended probes no server.
        let _ = self.requests.send(Request::Nudge(servers));
    }

    /// State of all servers, for backups.
    pub async fn views(&self) -> Vec<ServerView> {
        self.ask(Request::Views).await.unwrap_or_default()
    }

    /// Mirrors the master's state of these servers, which are not probed until [`Self::unmirror`].
    pub fn mirror(&self, views: Vec<ServerView>) {
        // A controller that has ended mirrors nothing.
        let _ = self.requests.send(Request::Mirror(views));
    }

    /// Probes all servers again.
    pub fn unmirror(&self) {
        let _ = self.requests.send(Request::Unmirror);
    }

    /// Returns when every check has had its first outcome, and the tables hold the consequences.
    pub async fn first_outcomes(&self) {
        self.ask(Request::FirstOutcomes).await;
    }

    /// Stops probing, and withdraws the services with `cleanstop`; returns when that is done.
    pub async fn stop(&self) {
        self.ask(Request::Stop).await;
    }

    /// Receives all events from now on.
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }
}
