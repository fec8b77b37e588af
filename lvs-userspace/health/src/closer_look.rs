//! The further looks at a server whose probe is silent, and the questions to others, as [`Suspicion`] wants them.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tracing::debug;

use super::check::Check;
use super::clock::now;
use super::companions::Comparison;
use super::hang::{Step, Suspicion};
use super::outcome::Outcome;

/// A probe under way.
pub(crate) type Probe = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Starts a probe of a check.
pub(crate) type ProbeFn = Arc<dyn Fn(Arc<Check>) -> Probe + Send + Sync>;

/// The end of a probe that was silent.
#[derive(Debug)]
pub(crate) enum End {
    /// An outcome, and the time that the server took for it.
    Outcome(Outcome, Duration),
    /// It hangs, as this text says.
    Hung(String),
    /// No outcome in the whole time.
    Silent,
}

/// The outcome of a further look or a question, unless that broke off, and its time.
type Answer = (Option<Outcome>, Duration);

/// The means of further looks and questions.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) prober: &'a ProbeFn,
    /// One for each that is under way.
    pub(crate) permits: &'a Semaphore,
    pub(crate) comparison: &'a Comparison,
}

impl<'a> Means<'a> {
    /// Begins a look or a question; none: too many are under way.
    fn begin(self, check: &Arc<Check>) -> Option<BoxFuture<'a, Answer>> {
        let permit = self.permits.try_acquire().ok()?;
        let (begun, prober) = (Instant::now(), self.prober);
        let look = AssertUnwindSafe((prober)(Arc::clone(check))).catch_unwind();
        let answer = async move {
            let outcome = look.await.ok();
            drop(permit);
            (outcome, begun.elapsed())
        };
        Some(answer.boxed())
    }
}

/// Waits for a probe's outcome until `end`, or until it is certain that the server hangs. `begun`: the probe's begin.
pub(crate) async fn wait(
    means: Means<'_>,
    check: &Arc<Check>,
    mut probe: Pin<&mut impl Future<Output = Outcome>>,
    mut case: Suspicion,
    mut timer: Pin<&mut Sleep>,
    (begun, end): (Instant, Instant),
) -> End {
    let mut connections = 1;
    let mut looks = FuturesUnordered::new();
    let mut questions = FuturesUnordered::new();
    let mut step = Some(case.expire(now()));
    loop {
        if let Some(step) = step {
            debug!(
                "{}: {step:?}, silent for {:?}",
                check.target,
                begun.elapsed()
            );
        }
        let mut wanted = Vec::new();
        let look = match step.take() {
            Some(Step::AskOthers) => {
                wanted = means.comparison.draw();
                case.ask(wanted.len());
                questions.clear();
                !case.is_over()
            }
            Some(Step::LastLook) => true,
            Some(Step::Hung) if means.comparison.count_hang(now()) => {
                let (target, silent) = (check.target, begun.elapsed().as_millis());
                return End::Hung(format!(
                    "{target} hangs: nothing in {silent} ms over {connections} connections, while others answer"
                ));
            }
            Some(Step::Hung | Step::GiveUp) | None => false,
        };
        if look {
            let further = means.begin(check);
            connections += 1;
            let asked: Option<Vec<_>> = wanted.iter().map(|other| means.begin(other)).collect();
            match (further, asked) {
                (Some(further), Some(asked)) => {
                    looks.push(further);
                    questions.extend(asked);
                }
                _ => case.give_up(),
            }
        }
        if case.is_over() {
            questions.clear();
        }
        let due = case.due().map_or(end, |due| end.min(due.into()));
        timer.as_mut().reset(due);
        tokio::select! {
            // What is there counts before the time that is over.
            biased;
            outcome = &mut probe => {
                let took = outcome.took;
                return End::Outcome(outcome, took);
            }
            Some((outcome, took)) = looks.next() => match outcome {
                // The pace is that of the look: the first connection may have been lost on the way.
                Some(outcome) if outcome.good => {
                    return End::Outcome(Outcome { took: begun.elapsed(), ..outcome }, took);
                }
                _ => case.give_up(),
            },
            Some((outcome, took)) = questions.next() => {
                let good = outcome.is_some_and(|outcome| outcome.good);
                step = case.other_answered(good, took, now());
            }
            () = &mut timer => {
                if Instant::now() >= end {
                    return End::Silent;
                }
                step = Some(case.expire(now()));
            }
        }
    }
}
