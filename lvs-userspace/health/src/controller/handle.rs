//! The way to a running controller.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{broadcast, mpsc, oneshot};

use super::Controller;
use crate::agent::Said;
use crate::maintenance::Maintained;
use crate::model::Configuration;
use crate::runner::Prober;
use crate::tables::Update;
use crate::verdict::Verdict;
use lvs_api::health::{Event, Health, Order};
use lvs_api::model::{ServerId, ServiceId};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_dataplane::director::{Director, Wanted};

/// What the tables hold of the services of a file.
pub type Tables = HashMap<ServiceId, Wanted>;

/// What a controller is begun with.
pub struct Beginning {
    /// The file.
    pub configuration: Configuration,
    /// Its services in the tables.
    pub tables: Tables,
    /// Keeps the orders over a restart.
    pub orders: PathBuf,
    /// Makes the probes.
    pub prober: Prober,
    /// Sockets of probes that may be open at once.
    pub sockets: usize,
}

/// What is asked of the controller.
#[derive(Debug)]
pub(super) enum Request {
    /// Answered at once with a refusal, or with when it will be in effect.
    Order(
        Order,
        oneshot::Sender<Result<oneshot::Receiver<()>, Refusal>>,
    ),
    Health(oneshot::Sender<Health>),
    Reload(Box<Configuration>, Tables, oneshot::Sender<()>),
    Nudge(Vec<(ServiceId, ServerId)>),
    Refused(Update),
    Maintained(Maintained),
    Agent(Said),
    Answered(oneshot::Sender<()>),
    Verdicts(oneshot::Sender<Vec<Verdict>>),
    Dictate(Vec<Verdict>),
    Free,
    Stop(oneshot::Sender<()>),
}

/// The way to a running controller.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) requests: mpsc::UnboundedSender<Request>,
    pub(super) events: broadcast::Sender<Arc<Event>>,
}

impl Handle {
    /// Takes care of the services of a file from now on. Everything that happens is heard from the
    /// first event on.
    pub async fn begin(
        beginning: Beginning,
        director: Arc<Mutex<Director>>,
    ) -> (Self, broadcast::Receiver<Arc<Event>>) {
        Controller::begin(beginning, director).await
    }

    /// Asks, and waits for the answer; none if the controller has ended.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).ok()?;
        answered.await.ok()
    }

    /// Gives an order; returns when it is in effect.
    pub async fn order(&self, order: Order) -> Result<(), Refusal> {
        let in_effect = self.ask(|answer| Request::Order(order, answer)).await;
        let ended = || Refusal::new(RefusalKind::Internal, "the controller has ended");
        in_effect.ok_or_else(ended)??.await.map_err(|_| ended())
    }

    /// How all servers are. What only the tables know is not filled in.
    pub async fn health(&self) -> Health {
        self.ask(Request::Health).await.unwrap_or_default()
    }

    /// Does what a file says from now on; returns when the tables do.
    pub async fn reload(&self, configuration: Configuration, tables: Tables) {
        let configuration = Box::new(configuration);
        self.ask(|answer| Request::Reload(configuration, tables, answer))
            .await;
    }

    /// Signs of death of these servers: they are probed at once.
    pub fn nudge(&self, servers: Vec<(ServiceId, ServerId)>) {
        // A controller that has ended probes nobody.
        let _ = self.requests.send(Request::Nudge(servers));
    }

    /// How all servers are, for backups.
    pub async fn verdicts(&self) -> Vec<Verdict> {
        self.ask(Request::Verdicts).await.unwrap_or_default()
    }

    /// These servers are as a master sees them, and are not probed, until [`Self::free`].
    pub fn dictate(&self, verdicts: Vec<Verdict>) {
        // A controller that has ended sees nothing.
        let _ = self.requests.send(Request::Dictate(verdicts));
    }

    /// All servers are probed again.
    pub fn free(&self) {
        let _ = self.requests.send(Request::Free);
    }

    /// Returns when every probe has had an outcome, and the tables know what follows.
    pub async fn answered(&self) {
        self.ask(Request::Answered).await;
    }

    /// Stops probing, and withdraws what is to be withdrawn; returns when that is done.
    pub async fn stop(&self) {
        self.ask(Request::Stop).await;
    }

    /// Everything that happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }
}
