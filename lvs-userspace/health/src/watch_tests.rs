use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn rhythm(rise: u32, fall: u32) -> Rhythm {
    Rhythm {
        interval: Duration::from_secs(10),
        fast: Duration::from_secs(1),
        down: Duration::from_secs(30),
        jitter: 0,
        rise,
        fall,
        hang: None,
    }
}

/// A watch that has found its place in the interval already.
fn running(rhythm: Rhythm, now: Instant) -> Watch {
    let mut watch = Watch::new(rhythm, true, now);
    watch.record(true, now, 0);
    watch
}

#[test]
fn the_first_outcome_decides_about_an_unknown_server() {
    let now = Instant::now();
    for (good, state) in [(true, State::Up), (false, State::Down)] {
        let mut watch = Watch::new(rhythm(3, 3), false, now);
        assert_eq!(watch.record(good, now, 0), Step::Turned);
        assert_eq!(watch.state(), state);
    }
}

#[test]
fn a_server_assumed_to_be_up_has_its_failures_counted() {
    let now = Instant::now();
    let mut watch = Watch::new(rhythm(1, 2), true, now);
    assert!(!watch.confirmed());
    assert_eq!(watch.record(false, now, 0), Step::SoftFailure(1, 2));
    assert_eq!(watch.state(), State::Up);
    assert_eq!(watch.record(false, now, 0), Step::Turned);
    assert_eq!(watch.state(), State::Down);
    assert!(watch.confirmed());
}

#[test]
fn the_pace_follows_the_state() {
    let now = Instant::now();
    let mut watch = running(rhythm(2, 2), now);
    let mut pause = |good| {
        watch.record(good, now, u32::MAX / 2);
        (watch.due() - now).as_secs()
    };
    assert_eq!(pause(true), 10);
    assert_eq!(pause(false), 1, "about to fall");
    assert_eq!(pause(false), 30, "down");
    assert_eq!(pause(true), 1, "about to rise");
    assert_eq!(pause(true), 10, "up");
}

#[test]
fn a_good_outcome_forgets_soft_failures() {
    let now = Instant::now();
    let mut watch = running(rhythm(1, 3), now);
    watch.record(false, now, 0);
    watch.record(false, now, 0);
    assert_eq!(watch.record(true, now, 0), Step::Recovered);
    assert_eq!(watch.record(false, now, 0), Step::SoftFailure(1, 3));
}

#[test]
fn a_nudge_probes_at_once_but_not_more_often_than_fast() {
    let start = Instant::now();
    let mut watch = running(rhythm(1, 2), start);
    watch.record(true, start, 0);
    let now = start + Duration::from_secs(5);
    watch.nudge(now);
    assert_eq!(watch.due(), now);
    // A failure keeps the alarm, a good outcome ends it.
    watch.record(false, now, 0);
    assert_eq!(watch.due(), now + Duration::from_secs(1));
    watch.nudge(now + Duration::from_millis(10));
    assert_eq!(watch.due(), now + Duration::from_secs(1));
    watch.record(true, now, 0);
    assert_eq!(watch.due(), now + Duration::from_secs(10));
}

#[test]
fn a_server_that_is_down_is_not_probed_more_often_for_a_nudge() {
    let now = Instant::now();
    let mut watch = Watch::new(rhythm(1, 1), false, now);
    watch.record(false, now, u32::MAX);
    let due = watch.due();
    watch.nudge(now);
    assert_eq!(watch.due(), due);
}

proptest! {
    /// A server changes its state after exactly `rise` or `fall` outcomes in a row, and never else.
    #[test]
    fn state_follows_runs_of_outcomes(
        rise in 1u32..5,
        fall in 1u32..5,
        assumed: bool,
        outcomes in proptest::collection::vec(any::<bool>(), 1..100),
    ) {
        let now = Instant::now();
        let mut watch = Watch::new(rhythm(rise, fall), assumed, now);
        let mut expected = if assumed { State::Up } else { State::Unknown };
        let mut run: (bool, u32) = (true, 0);
        for good in outcomes {
            run = if run.0 == good { (good, run.1 + 1) } else { (good, 1) };
            expected = match (expected, good) {
                (State::Unknown, true) => State::Up,
                (State::Unknown, false) => State::Down,
                (State::Up, false) if run.1 >= fall => State::Down,
                (State::Down, true) if run.1 >= rise => State::Up,
                (state, _) => state,
            };
            let before = watch.state();
            let step = watch.record(good, now, 0);
            prop_assert_eq!(watch.state(), expected);
            prop_assert_eq!(step == Step::Turned, before != expected);
            prop_assert!(watch.towards().0 < watch.towards().1);
        }
    }

    /// The next probe is due within the interval and its jitter, never in the past.
    #[test]
    fn a_pause_stays_within_its_jitter(
        jitter in 0u8..=100,
        random: u32,
        outcomes in proptest::collection::vec(any::<bool>(), 2..20),
    ) {
        let now = Instant::now();
        let mut watch = running(Rhythm { jitter, ..rhythm(2, 2) }, now);
        for good in outcomes {
            watch.record(good, now, random);
            let (towards, _) = watch.towards();
            let interval = match watch.state() {
                _ if towards > 0 => 1.0,
                State::Down => 30.0,
                _ => 10.0,
            };
            let part = f64::from(jitter) / 100.0;
            let pause = (watch.due() - now).as_secs_f64();
            prop_assert!(pause >= interval * (1.0 - part) - 1e-6, "{}", pause);
            prop_assert!(pause <= interval * (1.0 + part) + 1e-6, "{}", pause);
        }
    }
}

const HOLD: Duration = Duration::from_secs(10);

#[test]
fn failures_of_clients_and_failed_probes_count_together() {
    let now = Instant::now();
    let mut watch = running(rhythm(1, 3), now);
    let fail = |watch: &mut Watch| watch.record_observed(OnError::FailCheck, HOLD, now);
    assert_eq!(fail(&mut watch), Some(Step::SoftFailure(1, 3)));
    assert!(watch.due() <= now + Duration::from_secs(1), "probed soon");
    assert_eq!(watch.record(false, now, 0), Step::SoftFailure(2, 3));
    assert_eq!(watch.record(true, now, 0), Step::Recovered);
    for number in 1..=2 {
        assert_eq!(fail(&mut watch), Some(Step::SoftFailure(number, 3)));
    }
    assert_eq!(fail(&mut watch), Some(Step::Turned));
    assert_eq!(fail(&mut watch), None, "it is down already");
}

#[test]
fn after_sudden_death_one_more_failure_is_enough() {
    let now = Instant::now();
    let mut watch = running(rhythm(1, 3), now);
    let step = watch.record_observed(OnError::SuddenDeath, HOLD, now);
    assert_eq!(step, Some(Step::SoftFailure(2, 3)));
    assert_eq!(watch.record(false, now, 0), Step::Turned);
    // A single failure suffices anyway: the next probe decides.
    let mut watch = running(rhythm(1, 1), now);
    let step = watch.record_observed(OnError::SuddenDeath, HOLD, now);
    assert_eq!((step, watch.state()), (Some(Step::Steady), State::Up));
}

#[test]
fn probes_that_see_nothing_wrong_bring_a_server_back_after_a_while() {
    let now = Instant::now();
    let mut watch = running(rhythm(2, 2), now);
    assert_eq!(
        watch.record_observed(OnError::MarkDown, HOLD, now),
        Some(Step::Turned)
    );
    for seconds in [1, 9] {
        let later = now + Duration::from_secs(seconds);
        assert_eq!(watch.record(true, later, 0), Step::Steady);
        assert_eq!(watch.due(), now + HOLD, "not later than that");
    }
    assert_eq!(watch.record(true, now + HOLD, 0), Step::Rising);
    assert_eq!(watch.record(true, now + HOLD, 0), Step::Turned);
    assert_eq!(watch.state(), State::Up);
}

#[test]
fn probes_that_fail_too_bring_it_back_as_soon_as_they_are_good() {
    let now = Instant::now();
    let mut watch = running(rhythm(1, 2), now);
    watch.record_observed(OnError::MarkDown, HOLD, now);
    assert_eq!(watch.record(false, now, 0), Step::Steady);
    assert_eq!(watch.record(true, now, 0), Step::Turned);
}
