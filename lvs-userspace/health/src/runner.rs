//! Makes the probes: each watch is a task of its own, so that one that hangs delays no other; connect checks
//! are made in rounds, where they can be.

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
use super::rounds::{Place, Rounds};
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

/// Where watches run.
#[derive(Clone)]
pub struct Runner {
    prober: Prober,
    rounds: Option<Rounds>,
    sockets: Arc<Semaphore>,
    commands: Arc<Semaphore>,
    reports: mpsc::UnboundedSender<Report>,
}

/// What is asked of a watch beside its regular probes.
#[derive(Debug, Default)]
struct Demands {
    paused: AtomicBool,
    nudged: AtomicBool,
    /// One of these is another one; only the watch waits for it.
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
    by: By,
    paused: bool,
    told_every: bool,
}

#[derive(Debug)]
enum By {
    Task(Arc<Demands>, AbortHandle),
    Rounds(Place),
}

impl Running {
    const fn new(by: By) -> Self {
        Self {
            by,
            paused: false,
            told_every: false,
        }
    }

    /// Signs of death: probe at once.
    pub fn nudge(&self) {
        match &self.by {
            By::Task(demands, _) => {
                demands.nudged.store(true, Ordering::SeqCst);
                demands.changed.notify_one();
            }
            By::Rounds(place) => place.nudge(),
        }
    }

    /// Stop probing, or begin anew; whether that is a change.
    pub fn pause(&mut self, paused: bool) -> bool {
        let changed = std::mem::replace(&mut self.paused, paused) != paused;
        match &self.by {
            _ if !changed => {}
            By::Task(demands, _) => {
                demands.paused.store(paused, Ordering::SeqCst);
                demands.changed.notify_one();
            }
            By::Rounds(place) => place.pause(paused),
        }
        changed
    }

    /// Whether each outcome is wanted, or what says something new will do.
    pub fn tell_every(&mut self, every: bool) {
        let changed = std::mem::replace(&mut self.told_every, every) != every;
        if let By::Rounds(place) = &self.by
            && changed
        {
            place.tell_every(every);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let By::Task(_, task) = &self.by {
            task.abort();
        }
    }
}

impl Runner {
    /// With at most so many sockets of probes at once; what comes of them is sent to `reports`.
    pub fn new(
        prober: Prober,
        rounds: Option<Rounds>,
        sockets: usize,
        reports: mpsc::UnboundedSender<Report>,
    ) -> Self {
        Self {
            prober,
            rounds,
            sockets: Arc::new(Semaphore::new(sockets)),
            commands: Arc::new(Semaphore::new(COMMANDS)),
            reports,
        }
    }

    /// Begins a watch over a check.
    pub fn start(&self, number: u32, check: Arc<Check>, watch: Watch) -> Running {
        let rounds = self.rounds.as_ref();
        if let Some(place) = rounds.and_then(|rounds| rounds.start(number, &check, &watch)) {
            return Running::new(By::Rounds(place));
        }
        let demands = Arc::<Demands>::default();
        let questions = Questions::new(check);
        let run = self
            .clone()
            .run(number, questions, watch, Arc::clone(&demands));
        let task = tokio::spawn(run).abort_handle();
        Running::new(By::Task(demands, task))
    }

    async fn run(
        self,
        number: u32,
        mut questions: Questions,
        mut watch: Watch,
        demands: Arc<Demands>,
    ) {
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
