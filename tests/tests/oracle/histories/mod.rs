//! Histories of commands and packets, made from seeds (see [`lvs_tests::history`]): the director takes the course that
//! the kernel's IPVS takes.
//!
//! The file `recorded/histories` holds the kernel's answers. Ordinary tests replay some of them, `cargo xtask oracle`
//! all of them and new ones, which both directors play.

mod director;
mod kernel;
mod recording;
mod shorten;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lvs_tests::history::{Answers, History, SEEDS, Step, first_difference};
use lvs_tests::lab;
use lvs_tests::vm;

use self::director::Here;
use self::recording::Recorded;

/// Seeds that are recorded.
const RECORDED: u64 = 216;
/// Those that are not, see the README.
const OPEN: [u64; 4] = [29, 102, 143, 164];
/// As many of them ordinary tests replay: each takes half a second.
const ORDINARY: usize = 12;
/// Seeds that both directors play, where `LVS_HISTORIES` names no others.
const LIVE: std::ops::Range<u64> = 1_000..1_012;
/// Steps before a difference that are shown, beside all commands.
const SHOWN: usize = 20;

#[test]
fn histories_take_the_course_that_they_take_with_ipvs() {
    replay(ORDINARY);
}

#[test]
#[ignore = "takes minutes: `cargo xtask oracle` runs it"]
fn every_recorded_history_takes_its_course() {
    replay(usize::MAX);
}

/// Compares the director here to the recording of so many histories.
fn replay(count: usize) {
    let Some(mut here) = Here::new() else {
        return;
    };
    let begin = Instant::now();
    let (mut steps, mut different) = (0, Vec::new());
    let all = recording::read();
    for Recorded { history, answers } in all.iter().take(count) {
        steps += history.count();
        let ours = here.play(history);
        different.extend(difference(history, answers, &ours));
    }
    report(
        all.len().min(count),
        steps,
        different.len(),
        begin.elapsed(),
    );
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// The kernel's answers are recorded anew with `LVS_ORACLE=record`; otherwise they are compared with the recording.
#[test]
#[ignore = "takes minutes: `cargo xtask oracle` runs it"]
fn the_recorded_histories_are_what_the_kernel_answers() {
    if lab::skipped(vm::check()) {
        return;
    }
    if std::env::var_os("LVS_ORACLE").is_some_and(|what| what == "record") {
        record();
        return;
    }
    let recorded = recording::read();
    let histories: Vec<_> = recorded.iter().map(|one| one.history.clone()).collect();
    let pairs = recorded.iter().zip(kernel::answers(&histories));
    let different: Vec<_> = pairs
        .filter_map(|(before, now)| difference(&before.history, &now, &before.answers))
        .collect();
    assert!(
        different.is_empty(),
        "here: as recorded\n{}",
        different.join("\n")
    );
}

/// Records all seeds. What there is so far is written now and then.
fn record() {
    let mut recorded = Vec::new();
    let histories: Vec<_> = (0..RECORDED)
        .filter(|seed| !OPEN.contains(seed))
        .map(History::new)
        .collect();
    for histories in histories.chunks(2 * kernel::AT_ONCE) {
        let fresh = histories.iter().cloned().zip(kernel::answers(histories));
        recorded.extend(fresh.map(|(history, answers)| Recorded { history, answers }));
        recording::write(&recorded);
        println!("{} histories", recorded.len());
    }
}

/// `LVS_HISTORIES` names other ones: the first and the last seed (`2000-2099`), or a history as a difference names it.
#[test]
#[ignore = "takes minutes: `cargo xtask oracle` runs it"]
fn new_histories_take_the_course_that_they_take_with_ipvs() {
    if lab::skipped(vm::check()) {
        return;
    }
    let Some(mut here) = Here::new() else {
        return;
    };
    let begin = Instant::now();
    let histories = named();
    let answers = kernel::answers(&histories);
    let mut different = Vec::new();
    for (history, theirs) in histories.iter().zip(&answers) {
        let ours = here.play(history);
        if let Some(seen) = difference(history, theirs, &ours) {
            println!("{seen}");
            different.extend(first_difference(theirs, &ours).map(|place| (history, place, seen)));
        }
    }
    let steps = histories.iter().map(History::count).sum();
    report(histories.len(), steps, different.len(), begin.elapsed());
    let Some((history, place, seen)) = different.into_iter().next() else {
        return;
    };
    println!("shortening the first one");
    let places = history.places();
    let short = shorten::shorten(&history.only(&places[..=place]), |candidates| {
        let theirs = kernel::isolated_answers(candidates);
        let ours = candidates.iter().map(|history| here.play_alone(history));
        let pairs = theirs.iter().zip(ours);
        pairs
            .map(|(theirs, ours)| first_difference(theirs, &ours).is_some())
            .collect()
    });
    let theirs = kernel::isolated_answers(std::slice::from_ref(&short));
    let ours = here.play_alone(&short);
    let shown = theirs
        .iter()
        .find_map(|theirs| difference(&short, theirs, &ours));
    panic!("{}", shown.unwrap_or(seen));
}

/// The histories that `LVS_HISTORIES` names.
fn named() -> Vec<History> {
    let Ok(text) = std::env::var("LVS_HISTORIES") else {
        return LIVE.map(History::new).collect();
    };
    if text.contains(':') {
        return vec![History::parse(&text).unwrap()];
    }
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
    assert!(last < SEEDS, "seeds are below {SEEDS}");
    (first..=last).map(History::new).collect()
}

fn report(histories: usize, steps: usize, different: usize, time: Duration) {
    println!("{histories} histories of {steps} steps, {different} different, {time:.1?}");
}

/// The first difference of a history, with what led to it; `None`: there is none.
fn difference(history: &History, theirs: &Answers, ours: &Answers) -> Option<String> {
    let place = first_difference(theirs, ours)?;
    let mut text = format!("history {}\n", history.text());
    for (index, (number, step)) in history.steps.iter().enumerate().take(place + 1) {
        let answer = theirs.0.get(index).map_or("", String::as_str);
        if index + SHOWN > place || matches!(step, Step::Command(_)) {
            let _ = writeln!(text, "{number:4}  {step}  {answer}");
        }
    }
    let answer = |answers: &Answers| answers.0.get(place).cloned().unwrap_or_default();
    let _ = writeln!(text, "IPVS: {}\nhere: {}", answer(theirs), answer(ours));
    Some(text)
}
