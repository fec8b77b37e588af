//! The handle of a running controller.

use std::sync::Arc;

use lvs_api::health::{Event, Health, Override};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_dataplane::director::SynRetries;
use tokio::sync::{Mutex, broadcast, mpsc, oneshot};

use super::request::{Request, Tables};
use crate::configured::ConfiguredService;
use crate::model::Configuration;
use crate::overrides::is_volatile;
use crate::server_view::ServerView;

/// Sends requests to a running controller.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) requests: mpsc::UnboundedSender<Request>,
    pub(super) events: broadcast::Sender<Arc<Event>>,
    /// One override at a time is kept.
    pub(super) keeping: Arc<Mutex<()>>,
}

impl Handle {
    /// Sends a request and waits for the answer; none if the controller has ended.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).ok()?;
        answered.await.ok()
    }

    /// Applies an operator's override; returns when it is in effect. Unless it is volatile it is refused if it cannot
    /// be kept over a restart.
    pub async fn set_override(&self, change: Override) -> Result<(), Refusal> {
        // Until it is in effect: the file holds all overrides.
        let _one = if is_volatile(&change) {
            None
        } else {
            let one = self.keeping.lock().await;
            self.keep(&change).await?;
            Some(one)
        };
        let in_effect = self.ask(|answer| Request::Override(change, answer)).await;
        let ended = || Refusal::new(RefusalKind::Internal, "the controller has ended");
        in_effect.ok_or_else(ended)??.await.map_err(|_| ended())
    }

    /// Writes the file of all overrides as they will be after this one.
    async fn keep(&self, change: &Override) -> Result<(), Refusal> {
        let internal = |message: String| Refusal::new(RefusalKind::Internal, message);
        let next = self.ask(|answer| Request::OverridesAfter(change.clone(), answer));
        let ended = || internal("the controller has ended".to_owned());
        let (overrides, path) = next.await.ok_or_else(ended)??;
        let file = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || overrides.write(&path)).await;
        let reason = match written {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Err(internal(format!(
            "nothing was changed: the override could not be kept over a restart, {file}: {reason} (--volatile makes it \
             without keeping it)"
        )))
    }

    /// State of all servers, without the fields that only the tables know.
    pub async fn health(&self) -> Health {
        self.ask(Request::Health).await.unwrap_or_default()
    }

    /// Takes a new configuration; returns when the tables follow it. `whole`: with the services that
    /// were deleted by hand.
    pub async fn reload(&self, configuration: Configuration, tables: Tables, whole: bool) {
        let configuration = Box::new(configuration);
        self.ask(|answer| Request::Reload {
            configuration,
            tables,
            whole,
            answer,
        })
        .await;
    }

    /// Probes these servers at once, and counts the failures if their service observes them.
    pub fn observe(&self, found: Vec<SynRetries>) {
        // A controller that has ended probes no server.
        let _ = self.requests.send(Request::SynRetries(found));
    }

    /// All services as they are configured, and whether their servers are reached.
    pub async fn configured(&self) -> Vec<ConfiguredService> {
        self.ask(Request::Configured).await.unwrap_or_default()
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
