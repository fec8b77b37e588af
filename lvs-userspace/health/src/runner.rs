//! Makes the probes. Each watch is a task of its own, so that a server that hangs delays no other.
//!
//! An outcome that says nothing new is not reported, unless each one is wanted (`monitorfile`, weights by response
//! time): of thousands of probes a second hardly any is news.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use lvs_api::health::{CheckDurations, State};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep_until};

use super::check::{Check, Kind};
use super::check_cycle::CheckCycle;
use super::clock::now;
use super::closer_look::{self, End, Means, ProbeFn};
use super::companions::Comparison;
use super::hang::{Pace, Pause, Suspicion};
use super::outcome::Outcome;
use super::running_watch::{Requests, RunningWatch};
use super::server::CheckState;
use super::tally::Durations;
use super::watch::{Step, Watch};

/// A probe observes its own timeout; it is aborted this long after that.
const GRACE: Duration = Duration::from_secs(1);

/// Most commands that run at once: each is a process. Other probes are limited by files only.
const COMMANDS: usize = 256;

/// Most further looks at silent servers, and questions to others, that are under way at once.
const FURTHER: usize = 64;

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
    further: Semaphore,
    reports: mpsc::UnboundedSender<ProbeReport>,
    durations: Durations,
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
            further: Semaphore::new(FURTHER),
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
        let cycle = CheckCycle::new(Arc::clone(&check));
        let shared = Arc::clone(&self.0);
        RunningWatch::spawn(check, |requests| shared.run(number, cycle, watch, requests))
    }
}

/// A probe that has ended.
struct Ended {
    outcome: Outcome,
    /// The time that the server took to answer.
    took: Duration,
    /// The server hangs.
    hung: bool,
}

impl Ended {
    fn of(outcome: Outcome) -> Self {
        Self {
            took: outcome.took,
            outcome,
            hung: false,
        }
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
        let mut pause = Pause::default();
        // The failures of clients' connections that were counted last.
        let mut held_by = String::new();
        // One for the pause between probes and for the limit of each.
        let mut timer = pin!(sleep_until(watch.due().into()));
        let companion = &requests.comparison.own;
        loop {
            let paused = requests.paused.load(Ordering::SeqCst);
            companion.set_up(watch.state() == State::Up && !paused);
            if paused {
                requests.paused(false).await;
                watch.resume(now());
                cycle.failed();
                (pace, pause) = Default::default();
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
            // A connection says little.
            let suspect = watch.hang_limit(&pace).filter(|_| whole);
            let times = (suspect, watch.late_after(&pace));
            let begun = now();
            let ended = {
                let comparison = &requests.comparison;
                let mut probe = pin!(self.probe(check, timer.as_mut(), times, comparison));
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
            companion.set_late(None);
            let Some(ended) = ended else {
                continue;
            };
            let mut outcome = ended.outcome;
            let random = fastrand::u32(..);
            let step = if outcome.inconclusive {
                watch.record_skipped(now(), random)
            } else {
                cycle.record(outcome.good);
                requests.tally.count(outcome.good);
                self.durations.count(kind, outcome.good, outcome.took);
                if ended.hung {
                    pause.hung(begun);
                    watch.record_hang(now(), random)
                } else {
                    pause.probed(outcome.good);
                    watch.record(outcome.good, now(), random)
                }
            };
            if outcome.good && whole {
                pace.record(ended.took, now());
                if let Some(pause) = pause.end(timeout, now()) {
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

    /// Makes one probe, which ends for certain. `suspect`: the time without an answer after which the server may hang,
    /// `late`: the one that is longer than usual.
    async fn probe(
        &self,
        check: Arc<Check>,
        mut timer: Pin<&mut Sleep>,
        (suspect, late): (Option<Duration>, Option<Duration>),
        comparison: &Comparison,
    ) -> Ended {
        let slots = match check.kind {
            Kind::External(_) => &self.commands,
            _ => &self.sockets,
        };
        let _slot = slots.acquire().await;
        let begun = Instant::now();
        comparison.own.set_late(late.map(|late| now() + late));
        let end = begun + check.timeout + GRACE;
        // Without room for two looks and an answer of others, the check's time is over as soon.
        let suspect =
            suspect.filter(|limit| check.is_repeatable() && *limit * 5 / 2 < check.timeout);
        let case = suspect.map(|limit| Suspicion::new(limit, now()));
        let first = case.and_then(|case| case.due()).map_or(end, Instant::from);
        timer.as_mut().reset(first);
        let mut probe = pin!(self.attempt(Arc::clone(&check)));
        tokio::select! {
            biased;
            outcome = &mut probe => return Ended::of(outcome),
            () = &mut timer => {}
        }
        let ended = match case {
            Some(case) => {
                let means = Means {
                    prober: &self.prober,
                    permits: &self.further,
                    comparison,
                };
                closer_look::wait(means, &check, probe, case, timer, (begun, end)).await
            }
            None => End::Silent,
        };
        let (text, hung) = match ended {
            End::Outcome(outcome, took) => {
                return Ended {
                    took,
                    ..Ended::of(outcome)
                };
            }
            End::Silent => {
                let (target, limit) = (check.target, check.timeout.as_millis());
                (format!("no outcome from {target} in {limit} ms"), false)
            }
            End::Hung(text) => (text, true),
        };
        let outcome = Outcome::failed(text, begun.elapsed());
        Ended {
            hung,
            ..Ended::of(outcome)
        }
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

#[cfg(test)]
#[path = "hang_tests.rs"]
mod hang_tests;
