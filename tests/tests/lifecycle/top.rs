//! `lvsadm top` on a real terminal: tmux's.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::virtual_address;
use lvs_tests::lab::{programs, skipped};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon_lab::{DaemonLab, PATIENCE, text};

/// A terminal of 80 columns and 24 lines in which a shell runs.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    fn start(daemon: &DaemonLab) -> Self {
        let socket = daemon.lab.folder().join("tmux.sock");
        let tmux = Self { socket };
        // One shell with job control, whose prompt is known.
        let shell = "env PS1='ready> ' bash --norc -i";
        tmux.run(&["new-session", "-d", "-x", "80", "-y", "24", shell]);
        tmux
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-f", "/dev/null", "-S"]).arg(&self.socket);
        let output = command
            .args(words)
            .env("TERM", "xterm")
            .env_remove("TMUX")
            .output()
            .unwrap();
        assert!(output.status.success(), "tmux {words:?}: {output:?}");
        text(&output.stdout)
    }

    /// Presses keys, as tmux names them.
    fn press(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// Waits until the screen has all of these, and returns it.
    #[track_caller]
    fn shows(&self, parts: &[&str]) -> String {
        // Lines that are longer than the terminal is wide as one.
        let shown = || self.run(&["capture-pane", "-p", "-J"]);
        let all = |shown: &str| parts.iter().all(|part| shown.contains(part));
        let seen = eventually(PATIENCE, || all(&shown()));
        let shown = shown();
        assert!(seen, "expected {parts:?} on\n{shown}");
        shown
    }

    /// Waits until the shell is asked again, with the modes that its terminal had at first, and returns the exit code.
    #[track_caller]
    fn shell_is_back(&self, modes: &str, number: u32) -> u32 {
        // Keys that are pressed before belong to top.
        self.shows(&["ready>"]);
        // The shell sets modes of its own while it reads a line: those that its commands have count.
        self.press(&[&format!("echo code $? number {number}; stty -g"), "Enter"]);
        let end = format!(" number {number}\n{modes}");
        let shown = self.shows(&[&end]);
        let code = shown
            .split(&end)
            .next()
            .and_then(|before| before.rsplit(' ').next());
        code.and_then(|code| code.parse().ok()).unwrap()
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).arg("kill-server");
        let _ = command.stderr(Stdio::null()).status();
    }
}

#[test]
fn top_shows_the_director_on_a_terminal_which_it_leaves_as_it_was() {
    if skipped(programs(&["tmux", "bash", "stty", "pkill"])) {
        return;
    }
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    daemon.does("start");
    let service = format!("TCP {}:80 shop", virtual_address(Ipv4, Nat));
    let director = &daemon.lab.director;

    // For scripts.
    let page = director.lvsadm("top servers --once --sort server").unwrap();
    let lines: Vec<_> = page.lines().collect();
    assert!(lines[0].starts_with("lvsd "), "{page}");
    assert!(
        lines[4].starts_with("Server        State  Weight  Active  CPS"),
        "{page}"
    );
    assert!(
        lines[5].starts_with("10.2.0.11:80  up          5 "),
        "{page}"
    );
    assert!(lines[5].ends_with(&service), "{page}");
    assert_eq!(lines.len(), 7, "{page}");
    let error = director.lvsadm("top").unwrap_err().to_string();
    assert!(
        error.contains("this is no terminal: `lvsadm top --once`"),
        "{error}"
    );

    let tmux = Tmux::start(&daemon);
    tmux.shows(&["ready>"]);
    let top = format!(
        "{} --socket {} --timeout 1s top --interval 200ms",
        director.lvsadm_program().display(),
        director.socket().display()
    );
    tmux.press(&["clear; stty -g", "Enter"]);
    let shown = tmux.shows(&["\nready>"]);
    let modes = shown
        .lines()
        .find(|line| line.contains(':'))
        .unwrap()
        .to_owned();
    tmux.press(&[&format!("clear; TERM=dumb {top}"), "Enter"]);
    tmux.shows(&["this terminal has none (TERM)"]);

    tmux.press(&[&format!("clear; {top}"), "Enter"]);
    let shown = tmux.shows(&[&service, "2/2", "F10Quit"]);
    assert!(shown.starts_with("lvsd "), "{shown}");
    tmux.press(&["Enter"]);
    tmux.shows(&["    10.2.0.11:80 ", "    10.2.0.12:80 "]);
    tmux.press(&["3"]);
    tmux.shows(&["Last check", "HTTP 200"]);
    tmux.press(&["/", "0.12", "Enter"]);
    let shown = tmux.shows(&[" 1/1 by State"]);
    assert!(!shown.contains("10.2.0.11:80"), "{shown}");
    tmux.press(&["BTab"]);
    tmux.shows(&["FILTER", "Weight"]);

    // To the shell and back.
    tmux.press(&["C-z"]);
    tmux.shows(&["Stopped"]);
    tmux.shell_is_back(&modes, 1);
    tmux.press(&["fg", "Enter"]);
    tmux.shows(&["FILTER", "Weight"]);
    tmux.press(&["q"]);
    assert_eq!(tmux.shell_is_back(&modes, 2), 0);

    // The daemon hangs for a while.
    tmux.press(&[&format!("clear; {top}"), "Enter"]);
    tmux.shows(&["every 200ms", &service]);
    let lvsd = Pid::from_raw(daemon.pid().parse().unwrap());
    kill(lvsd, Signal::SIGSTOP).unwrap();
    tmux.shows(&["s old: lvsd does not answer", &service]);
    kill(lvsd, Signal::SIGCONT).unwrap();

    let pid = |tmux: &Tmux| {
        let shell = tmux.run(&["display-message", "-p", "#{pane_pid}"]);
        shell.trim().to_owned()
    };
    for (number, (signal, code)) in (3..).zip([("TERM", 143), ("INT", 130), ("HUP", 129)]) {
        tmux.shows(&["every 200ms", &service]);
        // The one child of the shell.
        let ended = Command::new("pkill")
            .args(["-P", &pid(&tmux), "--signal", signal])
            .status();
        assert!(ended.unwrap().success());
        assert_eq!(tmux.shell_is_back(&modes, number), code, "{signal}");
        tmux.press(&[&format!("clear; {top}"), "Enter"]);
    }
    tmux.shows(&["every 200ms", &service]);
    daemon.does("stop");
    tmux.shows(&["s old: lvsd is not running", &service]);
    // The terminal goes away.
    drop(tmux);
    let gone = || {
        let running = Command::new("pgrep").args(["-f", &top]).output().unwrap();
        running.stdout.is_empty()
    };
    assert!(
        eventually(Duration::from_secs(10), gone),
        "top goes on without its terminal"
    );
}
