//! `lvsd FILE start` and its like.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::virtual_address;
use lvs_tests::lab::{Missing, built, find, skipped};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::station::{PATIENCE, Station, text};

const TWO: &str = "10.2.0.11:80 5, 10.2.0.12:80 5";

#[test]
fn start_returns_when_the_tables_are_set_and_stop_when_they_are_empty() {
    let Some(station) = Station::new("") else {
        return;
    };
    station.does("start");
    assert_eq!(station.table(), TWO);
    let pid = station.pid();
    station.does("start");
    assert_eq!(station.pid(), pid, "a second start starts nothing");
    station.does("stop");
    assert!(!station.pid_file().exists());
    station.does("stop");
    // What is in the tables is found by any daemon.
    station.lab.director.start().unwrap();
    assert_eq!(station.lab.director.lvsadm("-Sn").unwrap(), "");
}

#[test]
fn a_daemon_of_a_file_that_keeps_its_services_leaves_them_when_it_is_stopped() {
    let Some(station) = Station::new("cleanstop=no") else {
        return;
    };
    station.does("start");
    station.does("stop");
    station.lab.director.start().unwrap();
    assert_eq!(station.table(), TWO);
}

#[test]
fn each_verb_has_its_exit_code_and_text_in_each_state() {
    let Some(station) = Station::new("") else {
        return;
    };
    let file = station.file.display().to_string();
    let stopped = format!("ldirectord is stopped for {file}\n");
    let status = station.lvsd("status");
    assert_eq!(status.status.code(), Some(3));
    assert_eq!(
        (text(&status.stdout), text(&status.stderr)),
        (stopped.clone(), String::new())
    );
    assert_eq!(station.code("stop"), Some(0));
    assert_eq!(station.code("try-restart"), Some(0));
    assert_eq!(station.code("reload"), Some(1));
    assert_eq!(station.code("force-reload"), Some(1));
    assert_eq!(station.code("begin"), Some(255));

    fs::write(station.pid_file(), format!("{}\n", std::process::id())).unwrap();
    let status = station.lvsd("status");
    assert_eq!(status.status.code(), Some(1));
    let stale = format!(
        "ldirectord stale pid file {} for {file}\n",
        station.pid_file().display()
    );
    assert_eq!(
        (text(&status.stdout), text(&status.stderr)),
        (stopped, stale)
    );
    assert_eq!(station.code("stop"), Some(0));
    assert_eq!(station.code("try-restart"), Some(0));
    assert_eq!(station.code("reload"), Some(1));

    station.does("start");
    let status = station.lvsd("status");
    let running = format!(
        "ldirectord for {file} is running with pid: {}\n",
        station.pid()
    );
    assert_eq!(status.status.code(), Some(0));
    assert_eq!(
        (text(&status.stdout), text(&status.stderr)),
        (running.clone(), running)
    );
    let pid = station.pid();
    station.does("reload");
    station.does("force-reload");
    assert_eq!(station.pid(), pid);
    station.does("try-restart");
    assert_ne!(station.pid(), pid);
    let pid = station.pid();
    station.does("restart");
    assert_ne!(station.pid(), pid);
    assert_eq!(station.table(), TWO);

    let missing = station.lvsd_for(&station.lab.folder().join("none.cf"), "start");
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing.stderr).contains("none.cf not found"),
        "{missing:?}"
    );
}

#[test]
fn where_no_daemon_runs_ldirectord_itself_says_the_same() {
    let Some(station) = Station::new("") else {
        return;
    };
    let Some(ldirectord) = find("ldirectord") else {
        let missing = Missing("there is no ldirectord to compare with".to_owned());
        assert!(skipped(Err(missing)));
        return;
    };
    let compare = |verb: &str| {
        let mut theirs = Command::new(&ldirectord);
        theirs.arg(&station.file).arg(verb);
        let theirs = station
            .lab
            .director
            .namespace()
            .output(&mut theirs)
            .unwrap();
        // First theirs: it removes stale files as it goes.
        let ours = station.lvsd(verb);
        assert_eq!(
            ours.status.code(),
            theirs.status.code(),
            "{verb}: {theirs:?}"
        );
        assert_eq!(text(&ours.stdout), text(&theirs.stdout), "{verb}");
    };
    for verb in ["status", "stop", "try-restart", "reload", "force-reload"] {
        compare(verb);
    }
    for verb in ["status", "reload", "try-restart"] {
        fs::write(station.pid_file(), "999999\n").unwrap();
        compare(verb);
    }
}

#[test]
fn a_wrong_file_disturbs_nothing_that_runs() {
    let Some(station) = Station::new("") else {
        return;
    };
    station.does("start");
    let pid = station.pid();
    let right = fs::read_to_string(&station.file).unwrap();
    fs::write(&station.file, right + "virtual=nonsense\n").unwrap();
    for verb in ["reload", "restart", "try-restart"] {
        let output = station.lvsd(verb);
        assert_eq!(output.status.code(), Some(2), "{verb}: {output:?}");
        let complaint = text(&output.stderr);
        assert!(complaint.contains("at line 12: "), "{complaint}");
        assert_eq!(
            (station.pid(), station.table()),
            (pid.clone(), TWO.to_owned())
        );
    }
    assert_eq!(station.code("start"), Some(0));
    assert_eq!(station.code("status"), Some(0));
    station.does("stop");
    assert_eq!(station.code("start"), Some(2));
    assert!(!station.pid_file().exists());
}

#[test]
fn a_daemon_that_was_killed_leaves_a_stale_file_and_a_director_that_works() {
    let Some(station) = Station::new("") else {
        return;
    };
    station.does("start");
    let pid = Pid::from_raw(station.pid().parse().unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    assert!(eventually(PATIENCE, || station.code("status") == Some(1)));
    station.does("start");
    assert_eq!(station.table(), TWO);
    assert_ne!(station.pid(), pid.to_string());
}

#[test]
fn a_restart_loses_no_connection_but_what_the_file_no_longer_has() {
    let Some(station) = Station::new("") else {
        return;
    };
    station.does("start");
    let address = SocketAddr::new(virtual_address(Ipv4, Nat), 80);
    let client = station.lab.client.namespace();
    let connection = client
        .enter(|| TcpStream::connect(address))
        .unwrap()
        .unwrap();
    station.does("restart");
    station.does("try-restart");
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    (&connection).write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let first = BufReader::new(&connection).lines().next().unwrap().unwrap();
    assert!(first.contains(" 200 "), "{first}");

    station.write("", 1);
    station.does("restart");
    assert_eq!(station.table(), "10.2.0.11:80 5");
    let log = fs::read_to_string(station.lab.director.log()).unwrap();
    assert!(!log.contains("(stop)"), "{log}");
    station.does("stop");
}

#[test]
fn a_second_file_is_told_how_to_join_the_first() {
    let Some(station) = Station::new("") else {
        return;
    };
    station.does("start");
    let other = station.lab.folder().join("other.cf");
    fs::write(
        &other,
        "virtual=192.0.2.1:80\n\treal=10.2.0.13:80 masq\n\tchecktype=on\n",
    )
    .unwrap();
    let output = station.lvsd_for(&other, "start");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("execute = "), "{output:?}");
    station.write(&format!("execute={}", other.display()), 2);
    station.does("reload");
    station.becomes(&format!("10.2.0.13:80 1, {TWO}"));
    station.does("stop");
}

#[test]
fn called_as_ldirectord_it_wants_a_command_and_shows_its_name() {
    let Some(station) = Station::new("") else {
        return;
    };
    let mut command = station
        .lab
        .director
        .command(&[&station.file.to_string_lossy(), "start"]);
    command.arg0("/usr/sbin/ldirectord");
    let output = station
        .lab
        .director
        .namespace()
        .output(&mut command)
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown = fs::read(format!("/proc/{}/cmdline", station.pid())).unwrap();
    assert!(
        shown.starts_with(b"/usr/sbin/ldirectord\0"),
        "{}",
        text(&shown)
    );
    station.does("stop");

    let mut bare = Command::new(built("lvsd").unwrap());
    bare.arg0("ldirectord");
    assert_eq!(bare.output().unwrap().status.code(), Some(255));
}

#[test]
fn a_supervised_daemon_stays_and_logs_on_its_output() {
    let Some(station) = Station::new("supervised=yes") else {
        return;
    };
    let file = station.file.to_string_lossy();
    let mut child = station.spawn(station.lab.director.command(&[&file, "start"]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let listening = lines.find_map(|line| {
        let line = line.unwrap();
        line.contains("listening").then_some(line)
    });
    // [Sat Nov 21 16:06:17 2026] listening at …
    let line = listening.expect("it listens");
    assert_eq!(line.find(']'), Some(25), "{line}");
    assert!(!station.pid_file().exists());
    assert_eq!(station.table(), TWO);
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(lines.any(|line| line.unwrap().contains("Purged virtual server (stop)")));
    assert!(child.wait().unwrap().success());
}
