//! With time that stands still while anything can run: no test depends on the machine's speed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use lvs_api::health::State;

use super::*;
use crate::check::Path;
use crate::checkers::nntp::Nntp;
use crate::model::Rhythm;
use parking_lot::Mutex;

const SECOND: Duration = Duration::from_secs(1);

fn rhythm() -> Rhythm {
    Rhythm {
        interval: SECOND,
        fast: SECOND / 10,
        down: SECOND,
        jitter: 0,
        rise: 1,
        fall: 2,
        hang: None,
    }
}

fn check(kind: Kind, port: u16) -> Arc<Check> {
    Arc::new(Check {
        kind,
        target: ([127, 0, 0, 1], port).into(),
        path: Path::Own,
        source: None,
        user: None,
        connect_timeout: 2 * SECOND,
        timeout: 2 * SECOND,
    })
}

fn outcome(good: bool) -> Outcome {
    Outcome {
        good,
        inconclusive: false,
        text: String::new(),
        took: Duration::ZERO,
        exit_code: None,
    }
}

fn prober<F>(probe: impl Fn(Arc<Check>) -> F + Send + Sync + 'static) -> ProbeFn
where
    F: Future<Output = Outcome> + Send + 'static,
{
    Arc::new(move |check| Box::pin(probe(check)))
}

fn runner(prober: ProbeFn) -> (Runner, mpsc::UnboundedReceiver<ProbeReport>) {
    let (sender, reports) = mpsc::unbounded_channel();
    (Runner::new(prober, 4096, sender), reports)
}

fn watch() -> Watch {
    Watch::new(rhythm(), false, now())
}

/// A watch over a check that reports each outcome.
fn start(runner: &Runner, number: u32, kind: Kind, port: u16) -> RunningWatch {
    let running = runner.start(number, check(kind, port), watch());
    running.report_every(true);
    running
}

#[tokio::test(start_paused = true)]
async fn a_hundred_hung_servers_delay_none_of_the_others() {
    let hung = |port: u16| port <= 100;
    let (runner, mut reports) = runner(prober(move |check| async move {
        if hung(check.target.port()) {
            tokio::time::sleep(check.timeout).await;
        }
        outcome(!hung(check.target.port()))
    }));
    let running: Vec<_> = (1..=1000u16)
        .map(|port| start(&runner, port.into(), Kind::Connect, port))
        .collect();
    let mut last: HashMap<u32, Instant> = HashMap::new();
    let end = Instant::now() + 20 * SECOND;
    while let Ok(Some(report)) = tokio::time::timeout_at(end, reports.recv()).await {
        let healthy = !hung(u16::try_from(report.watch).unwrap());
        assert_eq!(report.outcome.good, healthy);
        let before = last.insert(report.watch, Instant::now());
        if let Some(before) = before.filter(|_| healthy) {
            let late = before.elapsed().saturating_sub(SECOND);
            assert!(late <= Duration::from_millis(50), "{late:?}");
        }
    }
    assert_eq!(last.len(), 1000);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn watches_that_began_together_are_spread_over_the_interval() {
    let (runner, mut reports) = runner(prober(|_| async { outcome(true) }));
    let running: Vec<_> = (0..1000u32)
        .map(|number| start(&runner, number, Kind::Connect, 1))
        .collect();
    let begin = Instant::now();
    let mut tenths = [0; 10];
    for _ in 0..2000 {
        reports.recv().await.unwrap();
        if let Some(place) = tenths.get_mut((begin.elapsed().as_millis() / 100) as usize) {
            *place += 1;
        }
    }
    // The first thousand at once, the second at any moment of the first interval.
    assert!(tenths[0] >= 1000);
    assert!(tenths[1..].iter().all(|&count| count > 30), "{tenths:?}");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_ends_is_given_up() {
    let (runner, mut reports) = runner(prober(|_| std::future::pending()));
    let begin = Instant::now();
    let _running = start(&runner, 7, Kind::Connect, 1);
    let report = reports.recv().await.unwrap();
    assert!(begin.elapsed() <= 2 * SECOND + GRACE + SECOND / 100);
    assert!(!report.outcome.good);
    assert_eq!(report.view.state, State::Down);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_breaks_is_a_failure_and_the_next_one_is_made() {
    let count = AtomicUsize::new(0);
    let (runner, mut reports) = runner(prober(move |_| {
        let broken = count.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            assert!(!broken, "the first probe breaks, as this test wants it");
            outcome(true)
        }
    }));
    let _running = start(&runner, 7, Kind::Connect, 1);
    assert!(!reports.recv().await.unwrap().outcome.good);
    assert!(reports.recv().await.unwrap().outcome.good);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_could_not_be_made_says_nothing_about_the_server() {
    let count = AtomicUsize::new(0);
    let (runner, mut reports) = runner(prober(move |_| {
        let inconclusive = count.fetch_add(1, Ordering::Relaxed) > 0;
        async move {
            Outcome {
                inconclusive,
                ..outcome(!inconclusive)
            }
        }
    }));
    let _running = start(&runner, 7, Kind::Connect, 1);
    assert_eq!(reports.recv().await.unwrap().step, Step::Turned);
    for _ in 0..10 {
        let report = reports.recv().await.unwrap();
        assert_eq!(report.step, Step::Skipped);
        assert_eq!(report.view.state, State::Up);
    }
}

#[tokio::test(start_paused = true)]
async fn a_combined_check_negotiates_at_first_and_after_a_failure() {
    let asked = Arc::new(Mutex::new(String::new()));
    let answers = Mutex::new("+++++-++++".chars());
    let received = Arc::clone(&asked);
    let (runner, mut reports) = runner(prober(move |check| {
        let letter = match check.kind {
            Kind::Connect => 'c',
            Kind::Combined { .. } => 'N',
            _ => '?',
        };
        received.lock().push(letter);
        let good = answers.lock().next() == Some('+');
        async move { outcome(good) }
    }));
    let combined = Kind::Combined {
        checker: Nntp.into(),
        connects: 3,
    };
    let _running = start(&runner, 7, combined, 1);
    for _ in 0..10 {
        reports.recv().await.unwrap();
    }
    assert_eq!(asked.lock().get(..10), Some("NcccNcNccc"));
}

#[tokio::test(start_paused = true)]
async fn a_nudge_probes_at_once_and_a_pause_not_at_all() {
    let (runner, mut reports) = runner(prober(|_| async { outcome(true) }));
    let running = start(&runner, 7, Kind::Connect, 1);
    for _ in 0..3 {
        reports.recv().await.unwrap();
    }
    tokio::time::sleep(SECOND / 2).await;
    let begin = Instant::now();
    running.nudge();
    reports.recv().await.unwrap();
    assert!(begin.elapsed() < SECOND / 100);
    running.pause(true);
    let quiet = tokio::time::timeout(100 * SECOND, reports.recv()).await;
    assert!(quiet.is_err());
    running.pause(false);
    let begin = Instant::now();
    assert_eq!(reports.recv().await.unwrap().step, Step::Turned);
    assert!(begin.elapsed() < SECOND / 100);
    drop(running);
    drop(runner);
    assert!(reports.recv().await.is_none(), "the task has ended");
}

#[tokio::test(start_paused = true)]
async fn only_news_are_reported_unless_each_outcome_is_wanted() {
    // Good: a and b.
    let answers = Mutex::new("aaabbbxxxyyyaaa".chars());
    let (runner, mut reports) = runner(prober(move |_| {
        let answer = answers.lock().next().unwrap_or('a');
        let good = "ab".contains(answer);
        async move {
            Outcome {
                text: answer.to_string(),
                ..outcome(good)
            }
        }
    }));
    let running = runner.start(7, check(Kind::Connect, 1), watch());
    let mut received = String::new();
    while let Ok(Some(report)) = tokio::time::timeout(100 * SECOND, reports.recv()).await {
        received += &report.outcome.text;
    }
    // Each failure until it counts is news, and another sentence of the same state.
    assert_eq!(received, "abxxya");
    running.report_every(true);
    for _ in 0..10 {
        let report = tokio::time::timeout(2 * SECOND, reports.recv()).await;
        assert_eq!(report.unwrap().unwrap().outcome.text, "a");
    }
}
