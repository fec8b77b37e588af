//! A watch that runs as a task, and the requests to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lvs_api::model::ServiceId;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::check::Check;
use super::companions::{Companion, Companions, Comparison};
use super::tally::Tally;
use crate::model::OnError;

/// Failures of clients' connections that count.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// The effect of a failure.
    pub(crate) on_error: OnError,
    /// Time for which they make the server be down, unless a probe confirms it.
    pub(crate) hold: Duration,
    /// They, for people.
    pub(crate) text: String,
}

/// Requests to a running watch, and what it has counted.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) paused: AtomicBool,
    pub(crate) nudged: AtomicBool,
    pub(crate) observed: Mutex<Option<Observed>>,
    /// The servers that tell whether only this one is silent.
    pub(crate) comparison: Comparison,
    /// Each outcome is reported, also one that says nothing new.
    pub(crate) every: AtomicBool,
    pub(crate) tally: Tally,
    /// `paused`, `nudged` or `observed` changed; only the watch waits for it.
    pub(crate) changed: Notify,
}

impl Requests {
    fn new(check: Arc<Check>) -> Self {
        Self {
            paused: AtomicBool::default(),
            nudged: AtomicBool::default(),
            observed: Mutex::default(),
            comparison: Comparison::new(check),
            every: AtomicBool::default(),
            tally: Tally::default(),
            changed: Notify::default(),
        }
    }

    /// Waits until the watch is paused, or is no longer.
    pub(crate) async fn paused(&self, wanted: bool) {
        while self.paused.load(Ordering::SeqCst) != wanted {
            self.changed.notified().await;
        }
    }
}

/// A watch that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct RunningWatch {
    requests: Arc<Requests>,
    task: AbortHandle,
}

impl RunningWatch {
    /// Starts the task of a watch over this check.
    pub(crate) fn spawn<F>(check: Arc<Check>, run: impl FnOnce(Arc<Requests>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let requests = Arc::new(Requests::new(check));
        let task = tokio::spawn(run(Arc::clone(&requests))).abort_handle();
        Self { requests, task }
    }

    /// Probes at once: there are signs that the server is dead.
    pub(crate) fn nudge(&self) {
        self.requests.nudged.store(true, Ordering::SeqCst);
        self.requests.changed.notify_one();
    }

    /// Counts failures of clients' connections, which the data path saw.
    pub(crate) fn observe(&self, observed: Observed) {
        *self.requests.observed.lock() = Some(observed);
        self.requests.changed.notify_one();
    }

    /// This watch, as its companions see it.
    pub(crate) fn companion(&self) -> &Arc<Companion> {
        &self.requests.comparison.own
    }

    /// The watches of this service that tell whether only this server is silent; `None`: it is no longer one of them.
    pub(crate) fn compare_with(&self, service: ServiceId, companions: Option<Companions>) {
        self.requests.comparison.set(service, companions);
    }

    /// Pauses or resumes the watch; true: it was not so before.
    pub(crate) fn pause(&self, paused: bool) -> bool {
        let changed = self.requests.paused.swap(paused, Ordering::SeqCst) != paused;
        if changed {
            self.requests.changed.notify_one();
        }
        changed
    }

    /// Health checks that passed, and those that failed.
    pub(crate) fn tally(&self) -> (u64, u64) {
        self.requests.tally.read()
    }

    /// Reports each outcome from the next one on, or only those that say something new.
    pub(crate) fn report_every(&self, every: bool) {
        self.requests.every.store(every, Ordering::Relaxed);
    }
}

impl Drop for RunningWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
