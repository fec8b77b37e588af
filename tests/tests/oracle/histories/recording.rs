//! The kernel's answers to histories, in a text file.
//!
//! `# ` begins a comment, `history ` a history: its seed and its fingerprint follow, and the answers below it
//! ([`Answers::text`]).

use std::fs;
use std::path::{Path, PathBuf};

use lvs_tests::history::{Answers, History};

const HEADER: &str = "\
# The kernel's answers to histories, by seed: `cargo xtask oracle --record` writes them. See the README.
";

/// A history with a director's answers.
pub(super) struct Recorded {
    pub(super) history: History,
    pub(super) answers: Answers,
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/recorded/histories")
}

/// Reads the recording.
pub(super) fn read() -> Vec<Recorded> {
    let text = fs::read_to_string(path()).unwrap();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("# "))
        .collect();
    let histories = lines.chunk_by(|_, line| !line.starts_with("history "));
    let recorded = |lines: &[&str]| {
        let words: Vec<_> = lines[0].split(' ').collect();
        let history = History::parse(words[1]).unwrap();
        let fingerprint = format!("{:08x}", history.fingerprint());
        assert_eq!(
            fingerprint, words[2],
            "the generator makes another history of seed {}: run `cargo xtask oracle --record`",
            history.seed
        );
        let answers = Answers::parse(&history, &lines[1..]).unwrap();
        Recorded { history, answers }
    };
    histories.map(recorded).collect()
}

/// Writes it.
pub(super) fn write(all: &[Recorded]) {
    let text = |Recorded { history, answers }: &Recorded| {
        let (name, fingerprint) = (history.text(), history.fingerprint());
        format!(
            "history {name} {fingerprint:08x}\n{}",
            answers.text(history)
        )
    };
    let text: String = all.iter().map(text).collect();
    fs::write(path(), format!("{HEADER}{text}")).unwrap();
}
