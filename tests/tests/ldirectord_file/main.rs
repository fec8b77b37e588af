//! Which lines ldirectord takes and which it refuses, asked of ldirectord itself (`FILE status` reads
//! the whole file and ends with 2 if it is wrong), and of this director's reader.

use std::fmt::Write as _;
use std::process::Command;

use lvs_config::ldirectord;
use lvs_tests::lab::{Missing, find, skipped};
use parking_lot::Mutex;

use lines::{ACCEPTED, At, ONLY_HERE, ONLY_THERE, REFUSED, cases, file};

mod lines;
mod setup;

/// Line and text of the first error of this director's reader.
fn ours(text: &str) -> Option<(usize, String)> {
    let reading = ldirectord::parse(text);
    let error = reading.diagnostics.iter().find(|found| found.is_error());
    assert_eq!(error.is_none(), reading.configuration.is_some());
    error.map(|error| (error.line, error.to_string()))
}

/// The same of ldirectord.
fn theirs(text: &str) -> Option<(usize, String)> {
    let folder = tempfile::tempdir().unwrap();
    // The name is that of the pid file, which a wrong file has ldirectord remove.
    let path = folder
        .path()
        .join(format!("lvs-test-{}.cf", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let output = Command::new(find("ldirectord").unwrap())
        .arg(&path)
        .arg("status")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        // Not running, and nothing to say against the file.
        Some(3) => None,
        Some(2) => {
            let line = said
                .split("Error [")
                .nth(1)
                .and_then(|error| error.split("at line ").nth(1))
                .and_then(|rest| rest.split(':').next()?.parse().ok())
                .unwrap_or_else(|| panic!("no line in {said}"));
            Some((line, said))
        }
        code => panic!("ldirectord ended with {code:?} for\n{text}\n{said}"),
    }
}

fn obstacle() -> Result<(), Missing> {
    match find("ldirectord") {
        Some(_) => Ok(()),
        None => Err(Missing(
            "ldirectord is not installed: run `cargo xtask setup`".into(),
        )),
    }
}

/// Runs ldirectord for each case, several at a time, and gathers what does not fit.
fn each(
    cases: impl Iterator<Item = (At, &'static str)> + Send,
    judge: impl Fn(Option<(usize, String)>, usize) -> Option<String> + Sync,
) {
    let queue = Mutex::new(cases);
    let wrong = Mutex::new(String::new());
    let work = || {
        loop {
            let next = queue.lock().next();
            let Some((at, line)) = next else { break };
            let (text, number) = file(at, line, 80);
            if let Some(complaint) = judge(theirs(&text), number) {
                let _ = writeln!(wrong.lock(), "{at:?} {line:?}: {complaint}");
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn lvsd_accepts_and_refuses_the_lines_as_listed() {
    let taken = cases(ACCEPTED)
        .chain(cases(ONLY_HERE))
        .map(|case| (case, true));
    let refused = cases(REFUSED)
        .chain(cases(ONLY_THERE))
        .map(|case| (case, false));
    let mut wrong = String::new();
    for ((at, line), taken) in taken.chain(refused) {
        let (text, number) = file(at, line, 80);
        match (ours(&text), taken) {
            (None, true) => {}
            (Some((found, _)), false) if found == number => {}
            (outcome, _) => {
                let _ = writeln!(wrong, "{at:?} {line:?}: {outcome:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn ldirectord_accepts_the_lines_listed_as_accepted() {
    if skipped(obstacle()) {
        return;
    }
    // All of them in one file: if one were refused, the file would be. Globals go first.
    let taken = cases(ACCEPTED).chain(cases(ONLY_THERE));
    let (globals, sections): (Vec<_>, Vec<_>) = taken.partition(|(at, _)| matches!(at, At::Global));
    let mut text = String::new();
    for (_, line) in globals {
        let _ = writeln!(text, "{line}");
    }
    for (index, (at, line)) in sections.into_iter().enumerate() {
        let _ = writeln!(text, "\n{}", file(at, line, 1000 + index).0);
    }
    assert_eq!(theirs(&text), None);
}

#[test]
fn ldirectord_refuses_the_lines_listed_as_refused() {
    if skipped(obstacle()) {
        return;
    }
    each(cases(REFUSED), |outcome, number| match outcome {
        Some((line, _)) if line == number => None,
        outcome => Some(format!("{outcome:?}")),
    });
    each(cases(ONLY_HERE), |outcome, _| match outcome {
        Some(_) => None,
        None => Some("it is taken".to_owned()),
    });
}

#[test]
fn the_sample_files_of_ldirectord_load() {
    if skipped(obstacle()) {
        return;
    }
    let samples = [
        "/usr/share/doc/ldirectord/examples/ldirectord.cf",
        "/etc/ha.d/ldirectord.cf",
    ];
    let found: Vec<_> = samples
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .collect();
    if found.is_empty() {
        skipped(Err(Missing(
            "ldirectord's samples are not installed".into(),
        )));
    }
    for text in found {
        assert_eq!(ours(&text), None);
        for sample in samples_in(&text) {
            assert_eq!(ours(&sample), None, "{sample}");
        }
    }
}

/// The virtual services that stand in a file as comments, each by itself.
fn samples_in(text: &str) -> Vec<String> {
    let mut samples: Vec<String> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix('#')) {
        if line.starts_with("virtual") {
            samples.push(String::new());
        } else if !line.starts_with('\t') {
            continue;
        }
        if let Some(sample) = samples.last_mut() {
            // Names of data base servers that nobody has.
            let line = line.replace("sql01->sql03", "192.0.2.1->192.0.2.3");
            let _ = writeln!(sample, "{line}");
        }
    }
    samples
}
