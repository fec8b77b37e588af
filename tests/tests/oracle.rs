//! The kernel's own IPVS as an oracle: the same command lines, to the byte the same answers.
//!
//! The command lines are in the folder `oracle`, with a README.

use std::fs;
use std::io::{Read as _, Write as _, pipe};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lvs_tests::lab::{self, Arms, Lab};
use lvs_tests::vm::{self, Kernel};

/// IPVS and those of its schedulers that lvsd has.
const MODULES: [&str; 8] = [
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_sh",
    "ip_vs_dh",
    "ip_vs_mh",
];

/// A command line, or what is given to `-R`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Words(Vec<String>),
    Restore(String),
}

impl Line {
    fn parse(text: &str) -> Self {
        if let Some(lines) = text.strip_prefix("< ") {
            return Self::Restore(lines.replace("\\n", "\n").replace("\\t", "\t"));
        }
        let words = text.split_whitespace();
        Self::Words(words.map(|word| word.replace("''", "")).collect())
    }

    /// For a shell.
    fn command(&self) -> String {
        match self {
            Self::Words(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
                format!("ipvsadm {}", words.join(" "))
            }
            Self::Restore(lines) => format!("printf '%s' '{lines}' | ipvsadm -R"),
        }
    }
}

/// A command line as it is written in its file, and what it was answered with.
type Answer = (String, String);

fn lines(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/oracle")
        .join(name);
    let text = fs::read_to_string(&path).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// The answers of ipvsadm, line by line, on the kernel's own IPVS.
fn ask_ipvs(lines: &[String]) -> Vec<Answer> {
    let ask = |line: &String| {
        let command = Line::parse(line).command();
        format!("{command} 2>&1 && echo '[0]' || echo \"[$?]\"\necho '--'\n")
    };
    let script: String = lines.iter().map(ask).collect();
    let script = format!("modprobe ip_vs\n{script}");
    let kernel = Kernel::debian(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian")).unwrap();
    let ipvsadm = lab::find("ipvsadm").unwrap();
    let said = kernel
        .run_with_modules(&MODULES, &[&ipvsadm], &script)
        .unwrap();
    let answers = said
        .split("--\n")
        .map(|answer| answer.trim_end_matches("--").to_owned());
    let answers: Vec<_> = lines.iter().cloned().zip(answers).collect();
    assert_eq!(answers.len(), lines.len(), "{said}");
    answers
}

/// The answers of lvsadm, called as ipvsadm, for a daemon that listens on `socket`.
fn ask_lvs(lines: &[String], socket: &Path) -> Vec<Answer> {
    let program = lab::built("lvsadm").unwrap();
    let answer = |text: &String| {
        let line = Line::parse(text);
        let (mut output, both) = pipe().unwrap();
        let mut command = Command::new(&program);
        command
            .arg0("ipvsadm")
            .env("LVS_SOCKET", socket)
            .stdin(Stdio::piped())
            .stdout(both.try_clone().unwrap())
            .stderr(both);
        match &line {
            Line::Words(words) => command.args(words),
            Line::Restore(_) => command.arg("-R"),
        };
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut stdin = child.stdin.take().unwrap();
        if let Line::Restore(lines) = &line {
            // It may have ended before it read everything.
            let _ = stdin.write_all(lines.as_bytes());
        }
        drop(stdin);
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        let code = child.wait().unwrap().code();
        (text.clone(), format!("{said}[{}]\n", code.unwrap_or(-1)))
    };
    lines.iter().map(answer).collect()
}

/// The size of the connection table is each director's own business.
fn without_size(answer: &str) -> String {
    match answer.split_once("(size=").and_then(|(before, rest)| {
        rest.split_once(')')
            .map(|(_, after)| format!("{before}(size=)") + after)
    }) {
        Some(text) => text,
        None => answer.to_owned(),
    }
}

fn compare(ipvs: &[Answer], ours: &[Answer]) {
    let different: Vec<_> = ipvs
        .iter()
        .zip(ours)
        .filter(|((_, theirs), (_, ours))| without_size(theirs) != without_size(ours))
        .map(|((line, theirs), (_, ours))| {
            format!("$ ipvsadm {line}\nIPVS:\n{theirs}here:\n{ours}")
        })
        .collect();
    println!(
        "{} command lines, {} differences",
        ipvs.len(),
        different.len()
    );
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn invalid_command_lines_are_answered_as_ipvsadm_answers_them() {
    if lab::skipped(vm::check()) {
        return;
    }
    let lines = lines("grammar");
    let nobody = PathBuf::from("/nonexistent");
    compare(&ask_ipvs(&lines), &ask_lvs(&lines, &nobody));
}

#[test]
fn services_are_stored_and_listed_as_ipvs_does() {
    if lab::skipped(vm::check()) {
        return;
    }
    let Some(lab) = Lab::for_story(Arms::One, "") else {
        return;
    };
    let lines = lines("services");
    compare(&ask_ipvs(&lines), &ask_lvs(&lines, &lab.director.socket()));
}
