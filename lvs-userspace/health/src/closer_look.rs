//! The further looks at a server whose probe is silent, and the questions to others, as [`Suspicion`] wants them.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, Sleep};
use tracing::debug;

use super::check::Check;
use super::clock::now;
use super::hang::{LOOKS, Step, Suspicion};
use super::outcome::Outcome;

/// A probe under way.
pub(crate) type Probe = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Starts a probe of a check.
pub(crate) type ProbeFn = Arc<dyn Fn(Arc<Check>) -> Probe + Send + Sync>;

/// The checks of a virtual service's real servers that are of one kind.
pub(crate) type Companions = Arc<[Arc<Check>]>;

/// Others that are asked at once.
const ASKED: usize = 3;

/// The end of a probe that was silent.
#[derive(Debug)]
pub(crate) enum End {
    Outcome(Outcome),
    /// It hangs, as this text says.
    Hung(String),
    /// No outcome in the whole time.
    Silent,
}

/// An answer to a further look at the server, or of another one.
enum Answer {
    Own(Option<Outcome>),
    Other {
        good: bool,
        round: u32,
        asked: Instant,
    },
}

/// Waits for a probe's outcome until `end`, or until it is certain that the server hangs. `begun`: the probe's begin.
pub(crate) async fn wait(
    prober: &ProbeFn,
    check: &Arc<Check>,
    mut probe: Pin<&mut impl Future<Output = Outcome>>,
    mut case: Suspicion,
    others: Vec<Arc<Check>>,
    mut timer: Pin<&mut Sleep>,
    (begun, end): (Instant, Instant),
) -> End {
    let look = |check: &Arc<Check>| AssertUnwindSafe((prober)(Arc::clone(check))).catch_unwind();
    let own = || look(check).map(|ended| Answer::Own(ended.ok())).boxed();
    let other = |check: &Arc<Check>, round| {
        let asked = Instant::now();
        look(check)
            .map(move |ended| Answer::Other {
                good: ended.is_ok_and(|outcome| outcome.good),
                round,
                asked,
            })
            .boxed()
    };
    let mut answers = FuturesUnordered::new();
    let mut step = Some(case.expire(now()));
    loop {
        if let Some(step) = step {
            debug!(
                "{}: {step:?}, silent for {:?}",
                check.target,
                begun.elapsed()
            );
        }
        match step.take() {
            Some(Step::AskOthers) => {
                answers.push(own());
                let (count, round) = (others.len(), case.round());
                let first = fastrand::usize(..count.max(1));
                let asked = others.iter().cycle().skip(first).take(count.min(ASKED));
                answers.extend(asked.map(|check| other(check, round)));
            }
            Some(Step::LastLook) => answers.push(own()),
            Some(Step::Hung) => {
                let (target, silent) = (check.target, begun.elapsed().as_millis());
                return End::Hung(format!(
                    "{target} hangs: nothing in {silent} ms over {LOOKS} connections, while others answer"
                ));
            }
            Some(Step::GiveUp) | None => {}
        }
        let due = case.due().map_or(end, |due| end.min(due.into()));
        timer.as_mut().reset(due);
        tokio::select! {
            // What is there counts before the time that is over.
            biased;
            outcome = &mut probe => return End::Outcome(outcome),
            Some(answer) = answers.next() => match answer {
                Answer::Own(Some(outcome)) if outcome.good => {
                    return End::Outcome(Outcome { took: begun.elapsed(), ..outcome });
                }
                Answer::Own(_) => case.refused(),
                Answer::Other { good, round, asked } => if good {
                    step = case.other_answered(round, asked.elapsed(), now());
                },
            },
            () = &mut timer => {
                if Instant::now() >= end {
                    return End::Silent;
                }
                step = Some(case.expire(now()));
            }
        }
    }
}
