//! Signals, and the options that ldirectord has.

use std::io::{BufRead as _, BufReader};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::station::{Station, text};

#[test]
fn a_hangup_has_the_file_read_again_and_a_wrong_one_changes_nothing() {
    let Some(station) = Station::new("") else {
        return;
    };
    station.does("start");
    let pid = station.pid();
    let hang_up = || kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGHUP).unwrap();
    station.write("", 1);
    hang_up();
    station.becomes("10.2.0.11:80 5");
    station.write("nonsense = yes", 2);
    hang_up();
    station.logs("the configuration is wrong, nothing was changed");
    assert_eq!(station.table(), "10.2.0.11:80 5");
    assert_eq!(station.pid(), pid);
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGTERM).unwrap();
    station.logs("Purged virtual server (stop): 10.1.0.102:80");
}

#[test]
fn in_debug_mode_the_daemon_stays_and_says_more_on_its_error_output() {
    let Some(station) = Station::new("") else {
        return;
    };
    let file = station.file.to_string_lossy();
    let command = station.lab.director.command(&["-d", &file, "start"]);
    let mut child = station.spawn(command);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("listening at")));
    assert!(!station.pid_file().exists());
    assert_eq!(station.table(), "10.2.0.11:80 5, 10.2.0.12:80 5");
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(lines.any(|line| line.unwrap().contains("Purged virtual server (stop)")));
    assert!(child.wait().unwrap().success());
}

#[test]
fn version_and_help_need_no_file_and_an_unknown_option_is_an_error() {
    let Some(station) = Station::new("") else {
        return;
    };
    let run = |option: &str| {
        let mut command = station.lab.director.command(&[option]);
        station
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
