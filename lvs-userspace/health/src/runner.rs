//! Makes the probes. Each watch is a task of its own, so that a server that hangs delays no other.
//!
//! An outcome that says nothing new is not reported, except to who wants each of them (`monitorfile`, weighing by
//! response time): of thousands of probes a second hardly any is news.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::check::{Check, Kind};
use super::outcome::Outcome;
use super::server::View;
use super::watch::{Step, Watch};

/// A probe under way.
pub type Probe = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Begins a probe.
pub type Prober = Arc<dyn Fn(Arc<Check>) -> Probe + Send + Sync>;

/// A probe limits itself; this much later it is given up all the same.
const GRACE: Duration = Duration::from_secs(1);

/// Commands that run at once at most: each is a process. Other probes are limited by files only.
const COMMANDS: usize = 256;

/// What came of a probe.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which watch.
    pub watch: u32,
    /// What the watch says now.
    pub view: View,
    /// Outcomes in a row that speak for the other state, and how many it takes.
    pub towards: (u32, u32),
    /// What the outcome changed.
    pub step: Step,
    /// The outcome.
    pub outcome: Arc<Outcome>,
}

impl Report {
    /// Says something that the last one, of the same watch, did not.
    fn is_news_after(&self, last: &Self) -> bool {
        self.step != Step::Steady
            || self.view != last.view
            || self.outcome.exit_code != last.outcome.exit_code
            || self.outcome.text != last.outcome.text
    }
}

/// Where watches run.
#[derive(Clone)]
pub struct Runner {
    prober: Prober,
    sockets: Arc<Semaphore>,
    commands: Arc<Semaphore>,
    reports: mpsc::UnboundedSender<Report>,
}

/// Requests to a running watch.
#[derive(Debug, Default)]
struct Demands {
    paused: AtomicBool,
    nudged: AtomicBool,
    /// Each outcome is reported, also one that says nothing new.
    every: AtomicBool,
    /// `paused` or `nudged` is another one; only the watch waits for it.
    changed: Notify,
}

impl Demands {
    /// Waits until there is a pause, or none.
    async fn paused(&self, wanted: bool) {
        while self.paused.load(Ordering::SeqCst) != wanted {
            self.changed.notified().await;
        }
    }
}

/// A watch that runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    demands: Arc<Demands>,
    task: AbortHandle,
}

impl Running {
    /// Signs of death: probes at once.
    pub fn nudge(&self) {
        self.demands.nudged.store(true, Ordering::SeqCst);
        self.demands.changed.notify_one();
    }

    /// Stops probing, or begins anew; whether that is a change.
    pub fn pause(&self, paused: bool) -> bool {
        let changed = self.demands.paused.swap(paused, Ordering::SeqCst) != paused;
        if changed {
            self.demands.changed.notify_one();
        }
        changed
    }

    /// Reports each outcome from the next one on, or only those that say something new.
    pub fn report_every(&self, every: bool) {
        self.demands.every.store(every, Ordering::Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Runner {
    /// With at most so many sockets of probes at once; what comes of them is sent to `reports`.
    pub fn new(prober: Prober, sockets: usize, reports: mpsc::UnboundedSender<Report>) -> Self {
        Self {
            prober,
            sockets: Arc::new(Semaphore::new(sockets)),
            commands: Arc::new(Semaphore::new(COMMANDS)),
            reports,
        }
    }

    /// Begins a watch over a check.
    pub fn start(&self, number: u32, check: Arc<Check>, watch: Watch) -> Running {
        let demands = Arc::<Demands>::default();
        let questions = Questions::new(check);
        let run = self
            .clone()
            .run(number, questions, watch, Arc::clone(&demands));
        let task = tokio::spawn(run).abort_handle();
        Running { demands, task }
    }

    async fn run(
        self,
        number: u32,
        mut questions: Questions,
        mut watch: Watch,
        demands: Arc<Demands>,
    ) {
        let mut last: Option<Report> = None;
        loop {
            if demands.paused.load(Ordering::SeqCst) {
                demands.paused(false).await;
                watch.resume(now());
                questions.failed();
                continue;
            }
            if demands.nudged.swap(false, Ordering::SeqCst) {
                watch.nudge(now());
            }
            tokio::select! {
                () = tokio::time::sleep_until(watch.due().into()) => {}
                () = demands.changed.notified() => continue,
            }
            let question = questions.next();
            let outcome = tokio::select! {
                outcome = self.ask(question) => outcome,
                // Whoever pauses does not want to wait for a hung server.
                () = demands.paused(true) => continue,
            };
            let chance = fastrand::u32(..);
            let step = if outcome.inconclusive {
                watch.skipped(now(), chance)
            } else {
                questions.answered(outcome.good);
                watch.heard(outcome.good, now(), chance)
            };
            let report = Report {
                watch: number,
                view: View {
                    state: watch.state(),
                    confirmed: watch.confirmed(),
                },
                towards: watch.towards(),
                step,
                outcome: Arc::new(outcome),
            };
            let news = last.as_ref().is_none_or(|last| report.is_news_after(last));
            if !news && !demands.every.load(Ordering::Relaxed) {
                continue;
            }
            last = Some(report.clone());
            if self.reports.send(report).is_err() {
                return;
            }
        }
    }

    /// One probe, which ends.
    async fn ask(&self, check: Arc<Check>) -> Outcome {
        let room = match check.kind {
            Kind::External(_) => &self.commands,
            _ => &self.sockets,
        };
        let _slot = room.acquire().await;
        let begun = Instant::now();
        let (limit, target) = (check.timeout, check.target);
        let probe = AssertUnwindSafe((self.prober)(check)).catch_unwind();
        let text = match tokio::time::timeout(limit + GRACE, probe).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(_)) => format!("the probe of {target} broke off, see the log"),
            Err(_) => format!("no outcome from {target} in {} ms", limit.as_millis()),
        };
        Outcome {
            good: false,
            inconclusive: false,
            text,
            took: begun.elapsed(),
            exit_code: None,
        }
    }
}

/// Which check is made when: a combined one is a negotiation at first and after a failure, then so many
/// connections.
struct Questions {
    whole: Arc<Check>,
    connection: Option<(Arc<Check>, u32)>,
    left: u32,
}

impl Questions {
    fn new(check: Arc<Check>) -> Self {
        let connection = match &check.kind {
            Kind::Combined { connects, .. } => Some((Arc::new(check.connecting()), *connects)),
            _ => None,
        };
        Self {
            whole: check,
            connection,
            left: 0,
        }
    }

    fn next(&self) -> Arc<Check> {
        match &self.connection {
            Some((connection, _)) if self.left > 0 => Arc::clone(connection),
            _ => Arc::clone(&self.whole),
        }
    }

    fn answered(&mut self, good: bool) {
        self.left = match &self.connection {
            Some((_, connects)) if good && self.left == 0 => *connects,
            _ if good => self.left.saturating_sub(1),
            _ => 0,
        };
    }

    fn failed(&mut self) {
        self.answered(false);
    }
}

/// Now, as the pure parts count it.
pub fn now() -> std::time::Instant {
    Instant::now().into_std()
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
