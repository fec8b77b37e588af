//! Makes the probes. Each watch is a task of its own, so that a server that hangs delays no other.
//!
//! An outcome that says nothing new is not reported, unless each one is wanted (`monitorfile`, weights by response
//! time): of thousands of probes a second hardly any is news.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use lvs_api::health::CheckDurations;
use lvs_api::model::ServiceId;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep_until};

use super::check::{Check, Kind};
use super::check_cycle::CheckCycle;
use super::clock::now;
use super::closer_look::{self, Companions, End, ProbeFn};
use super::hang::{Pace, Suspicion};
use super::outcome::Outcome;
use super::server::CheckState;
use super::tally::{Durations, Tally};
use super::watch::{Step, Watch};
use crate::model::OnError;

/// A probe observes its own timeout; it is aborted this long after that.
const GRACE: Duration = Duration::from_secs(1);

/// Most commands that run at once: each is a process. Other probes are limited by files only.
const COMMANDS: usize = 256;

/// The outcome of a probe, and its effect on the watch.
#[derive(Clone, Debug)]
pub(crate) struct ProbeReport {
    /// Number of the watch.
    pub(crate) watch: u32,
    /// State of the check after it.
    pub(crate) view: CheckState,
    /// Outcomes in a row that speak for the other state, and how many it takes.
    pub(crate) towards: (u32, u32),
    /// Effect of the outcome on the state.
    pub(crate) step: Step,
    /// The outcome.
    pub(crate) outcome: Arc<Outcome>,
}

impl ProbeReport {
    fn new(number: u32, watch: &Watch, step: Step, outcome: Outcome) -> Self {
        Self {
            watch: number,
            view: CheckState {
                state: watch.state(),
                confirmed: watch.confirmed(),
            },
            towards: watch.towards(),
            step,
            outcome: Arc::new(outcome),
        }
    }

    /// True if it differs from the one before, of the same watch, in more than the time.
    fn is_news_after(&self, last: &Self) -> bool {
        self.step != Step::Steady
            || self.view != last.view
            || self.outcome.exit_code != last.outcome.exit_code
            || self.outcome.text != last.outcome.text
    }
}

/// Starts watches.
pub(crate) struct Runner(Arc<Shared>);

/// Everything that all watches have in common.
struct Shared {
    prober: ProbeFn,
    /// Limit how many probes run at once.
    sockets: Semaphore,
    commands: Semaphore,
    reports: mpsc::UnboundedSender<ProbeReport>,
    durations: Durations,
}

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
#[derive(Debug, Default)]
struct Requests {
    paused: AtomicBool,
    nudged: AtomicBool,
    observed: Mutex<Option<Observed>>,
    companions: Mutex<Vec<(ServiceId, Companions)>>,
    /// Each outcome is reported, also one that says nothing new.
    every: AtomicBool,
    tally: Tally,
    /// `paused`, `nudged` or `observed` changed; only the watch waits for it.
    changed: Notify,
}

impl Requests {
    /// Waits until the watch is paused, or is no longer.
    async fn paused(&self, wanted: bool) {
        while self.paused.load(Ordering::SeqCst) != wanted {
            self.changed.notified().await;
        }
    }

    /// The checks of other hosts that are compared with this one.
    fn others(&self, check: &Check) -> Vec<Arc<Check>> {
        let all = self.companions.lock();
        let checks = all.iter().flat_map(|(_, companions)| companions.iter());
        let elsewhere = |other: &&Arc<Check>| other.target.ip() != check.target.ip();
        checks.filter(elsewhere).map(Arc::clone).collect()
    }
}

/// A watch that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct RunningWatch {
    requests: Arc<Requests>,
    task: AbortHandle,
}

impl RunningWatch {
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

    /// The checks of this service that tell whether only this server is silent; `None`: it is no longer one of them.
    pub(crate) fn compare_with(&self, service: ServiceId, companions: Option<Companions>) {
        let mut all = self.requests.companions.lock();
        all.retain(|(other, _)| *other != service);
        all.extend(companions.map(|companions| (service, companions)));
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

impl Runner {
    /// With at most so many sockets of probes open at once; reports are sent to `reports`.
    pub(crate) fn new(
        prober: ProbeFn,
        sockets: usize,
        reports: mpsc::UnboundedSender<ProbeReport>,
    ) -> Self {
        Self(Arc::new(Shared {
            prober,
            sockets: Semaphore::new(sockets),
            commands: Semaphore::new(COMMANDS),
            reports,
            durations: Durations::default(),
        }))
    }

    /// Durations of the health checks that were made.
    pub(crate) fn durations(&self) -> Vec<CheckDurations> {
        self.0.durations.read()
    }

    /// Starts a watch over a check.
    pub(crate) fn start(&self, number: u32, check: Arc<Check>, watch: Watch) -> RunningWatch {
        let requests = Arc::<Requests>::default();
        let cycle = CheckCycle::new(check);
        let shared = Arc::clone(&self.0);
        let run = shared.run(number, cycle, watch, Arc::clone(&requests));
        let task = tokio::spawn(run).abort_handle();
        RunningWatch { requests, task }
    }
}

impl Shared {
    async fn run(
        self: Arc<Self>,
        number: u32,
        mut cycle: CheckCycle,
        mut watch: Watch,
        requests: Arc<Requests>,
    ) {
        let mut last: Option<ProbeReport> = None;
        let mut pace = Pace::default();
        // The begin of the probe that found the server hung.
        let mut hung_since: Option<Instant> = None;
        // The failures of clients' connections that were counted last.
        let mut held_by = String::new();
        // One for the pause between probes and for the limit of each.
        let mut timer = pin!(sleep_until(watch.due().into()));
        loop {
            if requests.paused.load(Ordering::SeqCst) {
                requests.paused(false).await;
                watch.resume(now());
                cycle.failed();
                (pace, hung_since) = (Pace::default(), None);
                requests.observed.lock().take();
                continue;
            }
            if requests.nudged.swap(false, Ordering::SeqCst) {
                watch.nudge(now());
            }
            if let Some(report) = observed(number, &requests, &mut watch) {
                cycle.failed();
                held_by.clone_from(&report.outcome.text);
                last = Some(report.clone());
                if self.reports.send(report).is_err() {
                    return;
                }
            }
            timer.as_mut().reset(watch.due().into());
            tokio::select! {
                () = &mut timer => {}
                () = requests.changed.notified() => continue,
            }
            let check = cycle.next();
            let kind = check.kind.name();
            let (whole, timeout) = (Arc::ptr_eq(&check, &cycle.whole), check.timeout);
            // The time of a command is not the server's alone, and a connection says little.
            let limit = (whole && !check.runs_command()).then(|| watch.hang_limit(&pace));
            // Without room for two looks and an answer of others, the check's time is over as soon.
            let limit = limit.flatten().filter(|limit| *limit * 5 / 2 < timeout);
            let begun = Instant::now();
            let ended = {
                let mut probe = pin!(self.probe(check, timer.as_mut(), limit, &requests));
                loop {
                    tokio::select! {
                        ended = &mut probe => break Some(ended),
                        () = requests.changed.notified() => {}
                    }
                    // Neither a pause nor the end of clients' connections waits for a server that hangs.
                    if requests.paused.load(Ordering::SeqCst) {
                        break None;
                    }
                    if let Some(report) = observed(number, &requests, &mut watch) {
                        held_by.clone_from(&report.outcome.text);
                        last = Some(report.clone());
                        if self.reports.send(report).is_err() {
                            return;
                        }
                    }
                }
            };
            let Some((mut outcome, hung)) = ended else {
                continue;
            };
            let random = fastrand::u32(..);
            let step = if outcome.inconclusive {
                watch.record_skipped(now(), random)
            } else {
                cycle.record(outcome.good);
                requests.tally.count(outcome.good);
                self.durations.count(kind, outcome.good, outcome.took);
                if hung {
                    hung_since = Some(begun);
                    watch.record_hang(now(), random)
                } else {
                    watch.record(outcome.good, now(), random)
                }
            };
            if outcome.good && whole {
                pace.record(outcome.took, now());
                // A pause that its check would have borne is its pace, too.
                let pause = hung_since.take().map(|since| since.elapsed());
                if let Some(pause) = pause.filter(|pause| *pause <= timeout) {
                    pace.record(pause, now());
                }
            }
            if watch.is_held() {
                outcome.text = format!("{held_by}; the health check says: {}", outcome.text);
            }
            let report = ProbeReport::new(number, &watch, step, outcome);
            let news = last.as_ref().is_none_or(|last| report.is_news_after(last));
            if !news && !requests.every.load(Ordering::Relaxed) {
                continue;
            }
            last = Some(report.clone());
            if self.reports.send(report).is_err() {
                return;
            }
        }
    }

    /// Makes one probe, which ends for certain. `suspect`: the time without an answer after which the server may hang.
    /// Returns whether it does.
    async fn probe(
        &self,
        check: Arc<Check>,
        mut timer: Pin<&mut Sleep>,
        suspect: Option<Duration>,
        requests: &Requests,
    ) -> (Outcome, bool) {
        let slots = match check.kind {
            Kind::External(_) => &self.commands,
            _ => &self.sockets,
        };
        let _slot = slots.acquire().await;
        let begun = Instant::now();
        let end = begun + check.timeout + GRACE;
        let case = suspect.map(|limit| Suspicion::new(limit, now()));
        let first = case.and_then(|case| case.due()).map_or(end, Instant::from);
        timer.as_mut().reset(first);
        let mut probe = pin!(self.attempt(Arc::clone(&check)));
        tokio::select! {
            biased;
            outcome = &mut probe => return (outcome, false),
            () = &mut timer => {}
        }
        let (target, limit) = (check.target, check.timeout);
        let ended = match case {
            Some(case) => {
                let others = requests.others(&check);
                let times = (begun, end);
                closer_look::wait(&self.prober, &check, probe, case, others, timer, times).await
            }
            None => End::Silent,
        };
        let (text, hung) = match ended {
            End::Outcome(outcome) => return (outcome, false),
            End::Silent => {
                let text = format!("no outcome from {target} in {} ms", limit.as_millis());
                (text, false)
            }
            End::Hung(text) => (text, true),
        };
        (Outcome::failed(text, begun.elapsed()), hung)
    }

    /// Makes a probe, which may take for ever.
    async fn attempt(&self, check: Arc<Check>) -> Outcome {
        let (target, begun) = (check.target, Instant::now());
        let probe = AssertUnwindSafe((self.prober)(check)).catch_unwind();
        probe.await.unwrap_or_else(|_| {
            let text = format!("the probe of {target} broke off, see the log");
            Outcome::failed(text, begun.elapsed())
        })
    }
}

/// Takes the failures of clients' connections that are to be counted, and counts them.
fn observed(number: u32, requests: &Requests, watch: &mut Watch) -> Option<ProbeReport> {
    let observed = requests.observed.lock().take()?;
    let step = watch.record_observed(observed.on_error, observed.hold, now())?;
    let outcome = Outcome::failed(observed.text, Duration::ZERO);
    Some(ProbeReport::new(number, watch, step, outcome))
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
