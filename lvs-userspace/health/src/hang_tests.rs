//! Servers that hang, as the runner finds them, with time that stands still.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use lvs_api::model::ServiceId;
use parking_lot::Mutex;

use super::*;
use crate::checkers::udp::Udp;
use crate::closer_look::Probe;
use crate::companions::Companions;
use crate::model::Rhythm;
use crate::testing::check;

const SECOND: Duration = Duration::from_secs(1);

fn rhythm() -> Rhythm {
    Rhythm {
        interval: SECOND * 4 / 10,
        fast: SECOND / 10,
        down: SECOND,
        jitter: 0,
        rise: 1,
        fall: 2,
        hang: Some(SECOND / 4),
    }
}

/// Returns the states that the first server turned to.
fn turns(seen: &[(ProbeReport, Duration)]) -> Vec<State> {
    let turned = seen
        .iter()
        .filter(|(report, _)| report.step == Step::Turned);
    turned.map(|(report, _)| report.view.state).collect()
}

/// [`after`] a change of so many servers that are connected to.
async fn after_a_change(
    hosts: u8,
    answer: impl Fn(usize, Duration) -> Option<Duration> + Send + Sync + 'static,
) -> Vec<(ProbeReport, Duration)> {
    after(hosts, Kind::Connect, rhythm(), answer).await
}

/// Starts watches over servers on so many hosts that answer in 10 ms until their pace is known, and then as `answer`
/// says: the time that a probe of a server (from 0 on) takes which begins so long after that; `None`: for ever. Returns
/// the reports for the first server about such probes, for 15 s, with the time since.
async fn after(
    hosts: u8,
    kind: Kind,
    rhythm: Rhythm,
    answer: impl Fn(usize, Duration) -> Option<Duration> + Send + Sync + 'static,
) -> Vec<(ProbeReport, Duration)> {
    let change = Arc::new(Mutex::new(None::<Instant>));
    let changed = Arc::clone(&change);
    let answer = Arc::new(answer);
    let (sender, mut reports) = mpsc::unbounded_channel();
    let prober = move |check: Arc<Check>| -> Probe {
        let (changed, answer) = (Arc::clone(&changed), Arc::clone(&answer));
        Box::pin(async move {
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
                good,
                ..Outcome::failed(String::new(), SECOND)
            }
        })
    };
    let runner = Runner::new(Arc::new(prober), 4096, sender);
    let service = ServiceId::Mark {
        mark: 1,
        family: lvs_api::family::Family::Ipv4,
    };
    let running: Vec<_> = (1..=hosts)
        .map(|number| {
            let target = ([127, 0, 0, number], 80).into();
            let check = Check {
                timeout: 2 * SECOND,
                ..check(kind.clone(), target)
            };
            let watch = Watch::new(rhythm, false, now());
            let running = runner.start(number.into(), Arc::new(check), watch);
            running.report_every(true);
            running.companion().set_serves(service, true);
            running
        })
        .collect();
    let all: Companions = running
        .iter()
        .map(|it| Arc::clone(it.companion()))
        .collect();
    for one in &running {
        one.compare_with(service, Some(Arc::clone(&all)));
    }
    for _ in 0..20 * usize::from(hosts) {
        reports.recv().await.unwrap();
    }
    let begun = Instant::now();
    *change.lock() = Some(begun);
    let mut seen = Vec::new();
    while begun.elapsed() < 15 * SECOND {
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
        text.contains("hangs: nothing in 510 ms over 4 connections"),
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
    assert_eq!(turns(&seen), [State::Down, State::Up]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_known_as_one_however_late_the_next_probe_is() {
    let answer = |server, since: Duration| {
        let over = [SECOND, 9 * SECOND].map(|pause| pause..pause + SECOND * 9 / 10);
        let pause = over.iter().find(|it| server == 0 && it.contains(&since));
        let left = pause.map_or(Duration::ZERO, |pause| pause.end.saturating_sub(since));
        Some(left + SECOND / 90)
    };
    let rarely = Rhythm {
        down: 4 * SECOND,
        ..rhythm()
    };
    let seen = after(2, Kind::Connect, rarely, answer).await;
    assert_eq!(turns(&seen), [State::Down, State::Up]);
}

#[tokio::test(start_paused = true)]
async fn the_quick_answer_of_an_idle_server_does_not_condemn_a_busy_one() {
    let answer = |server, _| match server {
        0 => None,
        1 => Some(SECOND / 100),
        _ => Some(SECOND / 5),
    };
    let seen = after_a_change(4, answer).await;
    assert_eq!(seen[0].0.step, Step::SoftFailure(1, 2));
}

#[tokio::test(start_paused = true)]
async fn several_servers_that_fall_silent_together_have_the_whole_time_of_their_checks() {
    for hosts in [5, 20] {
        let answer = |server, _| (server > 1).then_some(SECOND / 100);
        let seen = after_a_change(hosts, answer).await;
        assert_eq!(seen[0].0.step, Step::SoftFailure(1, 2), "{hosts}");
        assert!(seen[0].1 >= 2 * SECOND, "{:?}", seen[0].1);
    }
}

/// An answer for [`after`]: of the first server, what is sent within so long after the first probe is lost, and sent
/// again after a second; from `hangs` on it answers nothing.
fn lossy(
    lost: Duration,
    hangs: Option<Duration>,
) -> impl Fn(usize, Duration) -> Option<Duration> + Send + Sync + 'static {
    let first = Mutex::new(None);
    move |server, since| {
        if server > 0 {
            return Some(SECOND / 100);
        }
        if hangs.is_some_and(|hangs| since >= hangs) {
            return None;
        }
        let begun = *first.lock().get_or_insert(since);
        let late = if since < begun + lost {
            SECOND
        } else {
            Duration::ZERO
        };
        Some(late + SECOND / 90)
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_reached_again_during_the_last_look_does_not_hang() {
    let seen = after_a_change(2, lossy(SECOND * 37 / 100, None)).await;
    assert_eq!(turns(&seen), []);
    let (report, _) = &seen[0];
    assert!(report.outcome.good);
    assert!(report.outcome.took > SECOND * 37 / 100, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn lost_packets_are_not_the_pace_of_a_server_that_answers_a_further_look() {
    let seen = after_a_change(2, lossy(SECOND * 26 / 100, Some(5 * SECOND))).await;
    let (report, _) = seen
        .iter()
        .find(|(report, _)| !report.outcome.good)
        .unwrap();
    let text = &report.outcome.text;
    assert!(text.contains("hangs: nothing in 510 ms"), "{text}");
}

/// Probes that the first server got in its first second of silence.
async fn probes_of_a_silent_server(hosts: u8, kind: Kind) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let answer = move |server, since| {
        let first = server == 0 && since < SECOND;
        counted.fetch_add(usize::from(first), Ordering::SeqCst);
        (server > 0).then_some(SECOND / 100)
    };
    let seen = after(hosts, kind, rhythm(), answer).await;
    let found = seen[0].0.outcome.text.contains("hangs");
    let count = count.load(Ordering::SeqCst);
    assert_eq!(found, count > 1);
    count
}

#[tokio::test(start_paused = true)]
async fn a_server_is_not_looked_at_again_without_others_or_where_the_effect_is_not_known() {
    assert!(probes_of_a_silent_server(2, Kind::Connect).await >= 4);
    assert_eq!(probes_of_a_silent_server(1, Kind::Connect).await, 1);
    let udp = Udp {
        payload: Vec::new(),
        receive: None,
    };
    let udp = Kind::Negotiate(udp.into());
    assert_eq!(probes_of_a_silent_server(2, udp).await, 1);
}

#[tokio::test(start_paused = true)]
async fn so_many_servers_that_are_silent_at_once_get_few_further_looks() {
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, all_under_way) = (Arc::clone(&most), Arc::new(()));
    let silent: ProbeFn = Arc::new(move |_| {
        let under_way = Arc::clone(&all_under_way);
        let others = Arc::strong_count(&under_way) - 1;
        seen.fetch_max(others, Ordering::SeqCst);
        Box::pin(async move {
            let outcome = std::future::pending().await;
            drop(under_way);
            outcome
        })
    });
    let permits = Semaphore::new(5);
    let target = |host| ([127, 0, 0, host], 80).into();
    let of = |host| Comparison::new(Arc::new(check(Kind::Connect, target(host))));
    let service = ServiceId::Mark {
        mark: 1,
        family: lvs_api::family::Family::Ipv4,
    };
    let servers: Vec<_> = (1..=4).map(of).collect();
    let all: Companions = servers.iter().map(|it| Arc::clone(&it.own)).collect();
    for one in &servers {
        one.own.set_up(true);
        one.own.set_serves(service, true);
        one.set(service, Some(Arc::clone(&all)));
    }
    let cases = servers.iter().map(|comparison| {
        let (silent, permits) = (&silent, &permits);
        async move {
            let means = Means {
                prober: silent,
                permits,
                comparison,
            };
            let checked = Arc::new(check(Kind::Connect, target(1)));
            let first = pin!(std::future::pending());
            let timer = pin!(tokio::time::sleep(SECOND));
            let case = Suspicion::new(SECOND / 4, now());
            let begun = Instant::now();
            let times = (begun, begun + 2 * SECOND);
            let end = closer_look::wait(means, &checked, first, case, timer, times).await;
            assert!(matches!(end, End::Silent));
        }
    });
    futures_util::future::join_all(cases).await;
    assert_eq!(most.load(Ordering::SeqCst), 5);
}

#[tokio::test(start_paused = true)]
async fn a_server_in_maintenance_or_down_is_not_asked() {
    let up = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&up);
    let prober: ProbeFn = Arc::new(move |_| {
        let good = seen.load(Ordering::SeqCst);
        Box::pin(async move {
            Outcome {
                good,
                ..Outcome::failed(String::new(), SECOND / 100)
            }
        })
    });
    let (sender, _reports) = mpsc::unbounded_channel();
    let runner = Runner::new(prober, 4096, sender);
    let check = |host| Arc::new(check(Kind::Connect, ([127, 0, 0, host], 80).into()));
    let running = runner.start(1, check(1), Watch::new(rhythm(), false, now()));
    let other = Comparison::new(check(2));
    other.own.set_up(true);
    let service = ServiceId::Mark {
        mark: 1,
        family: lvs_api::family::Family::Ipv4,
    };
    let all: Companions = Arc::new([Arc::clone(running.companion()), Arc::clone(&other.own)]);
    for one in all.iter() {
        one.set_serves(service, true);
    }
    other.set(service, Some(all));
    let asked = async || {
        tokio::time::sleep(10 * SECOND).await;
        other.draw().len()
    };
    assert_eq!(asked().await, 1);
    running.pause(true);
    assert_eq!(asked().await, 0);
    running.pause(false);
    assert_eq!(asked().await, 1);
    up.store(false, Ordering::SeqCst);
    assert_eq!(asked().await, 0);
}
