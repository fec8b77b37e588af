//! Signals, and lvsd's options by ldirectord's names.

use std::io::{BufRead as _, BufReader};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon_lab::{DaemonLab, text};

#[test]
fn sighup_reloads_the_file_and_an_invalid_one_changes_nothing() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    daemon.does("start");
    let pid = daemon.pid();
    let hang_up = || kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGHUP).unwrap();
    daemon.write("", 1);
    hang_up();
    daemon.becomes("10.2.0.11:80 5");
    daemon.write("nonsense = yes", 2);
    hang_up();
    daemon.logs("the configuration is wrong, nothing was changed");
    assert_eq!(daemon.table(), "10.2.0.11:80 5");
    assert_eq!(daemon.pid(), pid);
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGTERM).unwrap();
    daemon.logs("Purged virtual server (stop): 10.1.0.102:80");
}

#[test]
fn debug_mode_stays_in_the_foreground_and_logs_to_stderr() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    let file = daemon.file.to_string_lossy();
    let command = daemon.lab.director.command(&["-d", &file, "start"]);
    let mut child = daemon.spawn(command);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("listening at")));
    assert!(!daemon.pid_file().exists());
    assert_eq!(daemon.table(), "10.2.0.11:80 5, 10.2.0.12:80 5");
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(lines.any(|line| line.unwrap().contains("Purged virtual server (stop)")));
    assert!(child.wait().unwrap().success());
}

#[test]
fn version_and_help_need_no_file_and_an_unknown_option_is_an_error() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    let run = |option: &str| {
        let mut command = daemon.lab.director.command(&[option]);
        daemon
            .lab
            .director
            .namespace()
            .output(&mut command)
            .unwrap()
    };
    let version = run("-v");
    assert!(version.status.success(), "{version:?}");
    assert!(text(&version.stdout).starts_with("lvsd "), "{version:?}");
    for option in ["-h", "-?", "--help"] {
        let help = run(option);
        assert!(help.status.success(), "{help:?}");
        assert!(text(&help.stdout).contains("force-reload"), "{help:?}");
    }
    assert_eq!(run("-z").status.code(), Some(255));
}
