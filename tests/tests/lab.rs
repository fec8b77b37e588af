//! The lab itself: hosts reach each other as its drawing says, and nothing is left behind.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lvs_tests::eventually;
use lvs_tests::lab::addresses::{FAMILIES, server};
use lvs_tests::lab::{Arms, Lab, Pair, available};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn the_client_reaches_every_real_server_through_the_router() {
    if !available() {
        return;
    }
    for arms in [Arms::One, Arms::Two] {
        let lab = Lab::new(arms).unwrap();
        for family in FAMILIES {
            for number in 1..=Lab::SERVERS {
                let answer = lab.client.get(server(family, number)).unwrap();
                assert_eq!(answer, format!("server{number}"));
                let asked = (server(family, number), 80).into();
                assert_eq!(
                    lab.client.ask(asked, "hello").unwrap(),
                    format!("server{number} hello")
                );
            }
        }
    }
}

#[test]
fn a_killed_lab_is_removed_when_the_next_one_starts() {
    if !available() {
        return;
    }
    let mut killed = Demo::start();
    killed.process.kill().unwrap();
    killed.process.wait().unwrap();
    assert!(
        !killed.namespaces().is_empty(),
        "killed too late to be a test"
    );
    // A child of the killed one holds its lock, too, until it is another program.
    let is_removed = || {
        drop(Lab::new(Arms::One).unwrap());
        killed.namespaces().is_empty()
    };
    assert!(eventually(Duration::from_secs(20), is_removed));
}

#[test]
fn a_lab_of_two_directors_leaves_nothing_behind() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    for director in &pair.directors {
        director.start().unwrap();
    }
    let folder = pair.folder().to_owned();
    drop(pair);
    assert!(!folder.exists(), "{} is still there", folder.display());
}

#[test]
fn ctrl_c_ends_the_demo_with_nothing_left_behind() {
    if !available() {
        return;
    }
    let mut demo = Demo::start();
    kill(
        Pid::from_raw(i32::try_from(demo.process.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    assert!(demo.process.wait().unwrap().success());
    assert_eq!(demo.namespaces(), Vec::<String>::new());
}

/// The demo in a process of its own.
struct Demo {
    process: Child,
}

impl Demo {
    /// Returns once its namespaces are there.
    fn start() -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["demo", "--for", "60"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let demo = Self { process };
        assert!(eventually(Duration::from_secs(10), || demo
            .namespaces()
            .len()
            == 6));
        demo
    }

    /// Names of the namespaces it made.
    fn namespaces(&self) -> Vec<String> {
        let prefix = format!("lvs-lab-{}-", self.process.id());
        fs::read_dir("/run/netns")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with(&prefix))
            .collect()
    }
}
