//! Histories with the director of this project, in the lab.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use lvs_tests::history::{self, Answers, Director, History, Wire};
use lvs_tests::lab::{self, Arms, Host, Lab};

/// The director, with the same wires as that in the virtual machine.
pub(super) struct Here {
    lab: Lab,
    wire: Wire,
    lvsadm: Lvsadm,
}

impl Here {
    /// `None`: there can be no lab here.
    pub(super) fn new() -> Option<Self> {
        let lab = Lab::for_story(Arms::Two, "")?;
        let network = lab.namespace(Host::Network);
        let director = lab.director.namespace();
        let link = format!(
            "link add name c address 02:00:00:00:00:0c type veth peer name d address 02:00:00:00:00:0d netns {}\n\
             link set dev c up\n",
            director.name()
        );
        network.ip(&link).unwrap();
        let neighbours = history::neighbours("back");
        director
            .ip(&format!(
                "link set dev d up\nroute add 10.50.0.0/16 dev d\n{neighbours}"
            ))
            .unwrap();
        let wire = network.enter(|| Wire::open("c", "director-back"));
        let lvsadm = Lvsadm {
            program: lab::built("lvsadm").unwrap(),
            socket: lab.director.socket(),
        };
        let mut here = Self {
            lab,
            wire: wire.unwrap().unwrap(),
            lvsadm,
        };
        here.start();
        Some(here)
    }

    /// Starts a director that knows nothing of an earlier one.
    fn start(&mut self) {
        self.lab.director.forget().unwrap();
        let interfaces = ["front", "back", "d"].map(|name| ["--interface", name]);
        self.lab.director.start_on(&interfaces.concat()).unwrap();
        history::begin(&mut self.lvsadm).unwrap();
    }

    /// The answers to a history. Nothing of its connections is left.
    pub(super) fn play(&mut self, history: &History) -> Answers {
        let answers = history::play(&mut self.lvsadm, &self.wire, history);
        let answers =
            answers.unwrap_or_else(|error| panic!("history {}: {error:#}", history.text()));
        let drop = "connections drop --all --templates";
        self.lab.director.lvsadm(drop).unwrap();
        answers
    }

    /// The same with a director of its own.
    pub(super) fn play_alone(&mut self, history: &History) -> Answers {
        self.start();
        self.play(history)
    }
}

/// lvsadm, called as ipvsadm.
struct Lvsadm {
    program: PathBuf,
    socket: PathBuf,
}

impl Lvsadm {
    fn run(&self, words: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(&self.program)
            .arg0("ipvsadm")
            .args(words)
            .env("LVS_SOCKET", &self.socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("no input")?;
        stdin.write_all(input.as_bytes())?;
        drop(stdin);
        Ok(history::said(&child.wait_with_output()?))
    }
}

impl Director for Lvsadm {
    fn restore(&mut self, lines: &str) -> Result<String> {
        self.run(&["-R"], lines)
    }

    fn services(&mut self) -> Result<String> {
        self.run(&["--proc", "ip_vs"], "")
    }

    fn connections(&mut self) -> Result<String> {
        self.run(&["--proc", "ip_vs_conn"], "")
    }

    fn traffic(&mut self) -> Result<String> {
        self.run(&["-L", "-n", "--stats", "--exact"], "")
    }
}
