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

/// Starts watches over servers on so many hosts that answer in 10 ms until their pace is known, and then as `answer`
/// says: the time that a probe of a server (from 0 on) takes which begins so long after that; `None`: for ever. Returns
/// the reports for the first server about such probes, for 10 s, with the time since.
async fn after_a_change(
    hosts: u8,
    answer: impl Fn(usize, Duration) -> Option<Duration> + Send + Sync + 'static,
) -> Vec<(ProbeReport, Duration)> {
    let change = Arc::new(Mutex::new(None::<Instant>));
    let changed = Arc::clone(&change);
    let answer = Arc::new(answer);
    let (runner, mut reports) = runner(prober(move |check| {
        let (changed, answer) = (Arc::clone(&changed), Arc::clone(&answer));
        async move {
            let std::net::IpAddr::V4(address) = check.target.ip() else {
                unreachable!("servers of IPv4");
            };
            let server = usize::from(address.octets()[3]) - 1;
            let since = changed.lock().map(|moment: Instant| moment.elapsed());
            let time = since.map_or(Some(SECOND / 100), |since| answer(server, since));
            tokio::time::sleep(time.unwrap_or(check.timeout).min(check.timeout)).await;
            let good = time.is_some_and(|time| time < check.timeout);
            Outcome {
                took: time.unwrap_or(check.timeout),
                ..outcome(good)
            }
        }
    }));
    let rhythm = Rhythm {
        interval: SECOND * 4 / 10,
        hang: Some(SECOND / 4),
        ..rhythm()
    };
    let checks: Companions = (1..=hosts)
        .map(|number| {
            let target = ([127, 0, 0, number], 80).into();
            let check = Arc::unwrap_or_clone(check(Kind::Connect, 80));
            Arc::new(Check { target, ..check })
        })
        .collect();
    let service = ServiceId::Mark {
        mark: 1,
        family: lvs_api::family::Family::Ipv4,
    };
    let running: Vec<_> = (1..)
        .zip(checks.iter())
        .map(|(number, check)| {
            let watch = Watch::new(rhythm, false, now());
            let running = runner.start(number, Arc::clone(check), watch);
            running.report_every(true);
            running.compare_with(service, Some(Arc::clone(&checks)));
            running
        })
        .collect();
    for _ in 0..20 * usize::from(hosts) {
        reports.recv().await.unwrap();
    }
    let begun = Instant::now();
    *change.lock() = Some(begun);
    let mut seen = Vec::new();
    while begun.elapsed() < 10 * SECOND {
        let report = reports.recv().await.unwrap();
        // A probe that was under way is one of before.
        if report.watch == 1 && report.outcome.took != SECOND / 100 {
            seen.push((report, begun.elapsed()));
        }
    }
    drop(running);
    seen
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_down_within_a_second_if_another_one_answers() {
    let answer = |server, _| (server > 0).then_some(SECOND / 100);
    let seen = after_a_change(2, answer).await;
    let (report, took) = &seen[0];
    assert_eq!(report.step, Step::Turned);
    // Its interval, two looks, and the answer of the other one between them.
    assert!(*took <= SECOND * 92 / 100, "{took:?}");
    let text = &report.outcome.text;
    assert!(
        text.contains("hangs: nothing in 510 ms over 3 connections"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_has_the_whole_time_of_its_check_while_no_other_one_answers() {
    for hosts in [1, 2] {
        let seen = after_a_change(hosts, |_, _| None).await;
        assert_eq!(seen[0].0.step, Step::SoftFailure(1, 2), "{hosts}");
        assert!(seen[0].1 >= 2 * SECOND, "{:?}", seen[0].1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_that_all_share_condemns_nobody_not_even_the_last_one_to_recover() {
    for (all, first) in [(600, 800), (900, 1100), (1500, 1700)] {
        let answer = move |server: usize, since: Duration| {
            let until = Duration::from_millis(if server == 0 { first } else { all });
            Some(until.saturating_sub(since) + Duration::from_millis(9))
        };
        let seen = after_a_change(3, answer).await;
        let states = seen.iter().map(|(report, _)| report.view.state);
        assert!(states.eq(seen.iter().map(|_| State::Up)), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_more_slowly_than_others_does_not_hang() {
    let answer = |server, _| {
        Some(if server == 0 {
            SECOND * 45 / 100
        } else {
            SECOND / 100
        })
    };
    let seen = after_a_change(2, answer).await;
    assert!(
        seen.iter()
            .all(|(report, _)| report.view.state == State::Up)
    );
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_check_would_have_borne_is_taken_for_a_hang_once() {
    let answer = |server, since: Duration| {
        let over = [SECOND, 5 * SECOND].map(|pause| pause..pause + SECOND * 9 / 10);
        let pause = over
            .into_iter()
            .find(|pause| server == 0 && pause.contains(&since));
        let left = pause.map_or(Duration::ZERO, |pause| pause.end.saturating_sub(since));
        Some(left + SECOND / 90)
    };
    let seen = after_a_change(2, answer).await;
    let turned = seen
        .iter()
        .filter(|(report, _)| report.step == Step::Turned);
    let states: Vec<_> = turned.map(|(report, _)| report.view.state).collect();
    assert_eq!(states, [State::Down, State::Up]);
}
