//! `lvsd FILE start`, `stop`, `status`, `restart`, `reload` …: exit codes, texts, pid file.

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

use crate::daemon_lab::{DaemonLab, PATIENCE, text};

const TWO: &str = "10.2.0.11:80 5, 10.2.0.12:80 5";

#[test]
fn start_returns_when_the_tables_are_set_and_stop_when_they_are_empty() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    daemon.does("start");
    assert_eq!(daemon.table(), TWO);
    let pid = daemon.pid();
    daemon.does("start");
    assert_eq!(daemon.pid(), pid, "a second start starts nothing");
    daemon.does("stop");
    assert!(!daemon.pid_file().exists());
    daemon.does("stop");
    // What is in the tables is found by any daemon.
    daemon.lab.director.start().unwrap();
    assert_eq!(daemon.lab.director.lvsadm("-Sn").unwrap(), "");
}

#[test]
fn with_cleanstop_no_a_stop_leaves_the_services_configured() {
    let Some(daemon) = DaemonLab::new("cleanstop=no") else {
        return;
    };
    daemon.does("start");
    daemon.does("stop");
    daemon.lab.director.start().unwrap();
    assert_eq!(daemon.table(), TWO);
}

#[test]
fn each_verb_has_its_exit_code_and_text_in_each_state() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    let file = daemon.file.display().to_string();
    let stopped = format!("ldirectord is stopped for {file}\n");
    let status = daemon.lvsd("status");
    assert_eq!(status.status.code(), Some(3));
    assert_eq!(
        (text(&status.stdout), text(&status.stderr)),
        (stopped.clone(), String::new())
    );
    assert_eq!(daemon.code("stop"), Some(0));
    assert_eq!(daemon.code("try-restart"), Some(0));
    assert_eq!(daemon.code("reload"), Some(1));
    assert_eq!(daemon.code("force-reload"), Some(1));
    assert_eq!(daemon.code("begin"), Some(255));

    fs::write(daemon.pid_file(), format!("{}\n", std::process::id())).unwrap();
    let status = daemon.lvsd("status");
    assert_eq!(status.status.code(), Some(1));
    let stale = format!(
        "ldirectord stale pid file {} for {file}\n",
        daemon.pid_file().display()
    );
    assert_eq!(
        (text(&status.stdout), text(&status.stderr)),
        (stopped, stale)
    );
    assert_eq!(daemon.code("stop"), Some(0));
    assert_eq!(daemon.code("try-restart"), Some(0));
    assert_eq!(daemon.code("reload"), Some(1));

    daemon.does("start");
    let status = daemon.lvsd("status");
    let running = format!(
        "ldirectord for {file} is running with pid: {}\n",
        daemon.pid()
    );
    assert_eq!(status.status.code(), Some(0));
    assert_eq!(
        (text(&status.stdout), text(&status.stderr)),
        (running.clone(), running)
    );
    let pid = daemon.pid();
    daemon.does("reload");
    daemon.does("force-reload");
    assert_eq!(daemon.pid(), pid);
    daemon.does("try-restart");
    assert_ne!(daemon.pid(), pid);
    let pid = daemon.pid();
    daemon.does("restart");
    assert_ne!(daemon.pid(), pid);
    assert_eq!(daemon.table(), TWO);

    let missing = daemon.lvsd_for(&daemon.lab.folder().join("none.cf"), "start");
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing.stderr).contains("none.cf not found"),
        "{missing:?}"
    );
}

#[test]
fn where_no_daemon_runs_ldirectord_itself_says_the_same() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    let Some(ldirectord) = find("ldirectord") else {
        let missing = Missing("there is no ldirectord to compare with".to_owned());
        assert!(skipped(Err(missing)));
        return;
    };
    let compare = |verb: &str| {
        let mut theirs = Command::new(&ldirectord);
        theirs.arg(&daemon.file).arg(verb);
        let theirs = daemon.lab.director.namespace().output(&mut theirs).unwrap();
        // First theirs: it removes stale files as it goes.
        let ours = daemon.lvsd(verb);
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
        fs::write(daemon.pid_file(), "999999\n").unwrap();
        compare(verb);
    }
}

#[test]
fn an_invalid_file_does_not_disturb_the_running_daemon() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    daemon.does("start");
    let pid = daemon.pid();
    let right = fs::read_to_string(&daemon.file).unwrap();
    fs::write(&daemon.file, right + "virtual=nonsense\n").unwrap();
    for verb in ["reload", "restart", "try-restart"] {
        let output = daemon.lvsd(verb);
        assert_eq!(output.status.code(), Some(2), "{verb}: {output:?}");
        let complaint = text(&output.stderr);
        assert!(complaint.contains("at line 12: "), "{complaint}");
        assert_eq!(
            (daemon.pid(), daemon.table()),
            (pid.clone(), TWO.to_owned())
        );
    }
    assert_eq!(daemon.code("start"), Some(0));
    assert_eq!(daemon.code("status"), Some(0));
    daemon.does("stop");
    assert_eq!(daemon.code("start"), Some(2));
    assert!(!daemon.pid_file().exists());
}

#[test]
fn a_killed_daemon_leaves_a_stale_pid_file_and_a_working_data_plane() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    daemon.does("start");
    let pid = Pid::from_raw(daemon.pid().parse().unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    assert!(eventually(PATIENCE, || daemon.code("status") == Some(1)));
    daemon.does("start");
    assert_eq!(daemon.table(), TWO);
    assert_ne!(daemon.pid(), pid.to_string());
}

#[test]
fn a_restart_keeps_connections_and_removes_what_the_file_no_longer_has() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    daemon.does("start");
    let address = SocketAddr::new(virtual_address(Ipv4, Nat), 80);
    let client = daemon.lab.client.namespace();
    let connection = client
        .enter(|| TcpStream::connect(address))
        .unwrap()
        .unwrap();
    daemon.does("restart");
    daemon.does("try-restart");
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    (&connection).write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let first = BufReader::new(&connection).lines().next().unwrap().unwrap();
    assert!(first.contains(" 200 "), "{first}");

    daemon.write("", 1);
    daemon.does("restart");
    assert_eq!(daemon.table(), "10.2.0.11:80 5");
    let log = fs::read_to_string(daemon.lab.director.log()).unwrap();
    assert!(!log.contains("(stop)"), "{log}");
    daemon.does("stop");
}

#[test]
fn starting_a_second_file_explains_how_to_add_it_to_the_first() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    daemon.does("start");
    let other = daemon.lab.folder().join("other.cf");
    fs::write(
        &other,
        "virtual=192.0.2.1:80\n\treal=10.2.0.13:80 masq\n\tchecktype=on\n",
    )
    .unwrap();
    let output = daemon.lvsd_for(&other, "start");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("execute = "), "{output:?}");
    daemon.write(&format!("execute={}", other.display()), 2);
    daemon.does("reload");
    daemon.becomes(&format!("10.2.0.13:80 1, {TWO}"));
    daemon.does("stop");
}

#[test]
fn called_as_ldirectord_lvsd_requires_a_command_and_shows_that_name() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    let mut command = daemon
        .lab
        .director
        .command(&[&daemon.file.to_string_lossy(), "start"]);
    command.arg0("/usr/sbin/ldirectord");
    let output = daemon
        .lab
        .director
        .namespace()
        .output(&mut command)
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown = fs::read(format!("/proc/{}/cmdline", daemon.pid())).unwrap();
    assert!(
        shown.starts_with(b"/usr/sbin/ldirectord\0"),
        "{}",
        text(&shown)
    );
    daemon.does("stop");

    let mut bare = Command::new(built("lvsd").unwrap());
    bare.arg0("ldirectord");
    assert_eq!(bare.output().unwrap().status.code(), Some(255));
}

#[test]
fn a_supervised_daemon_stays_in_the_foreground_and_logs_to_stdout() {
    let Some(daemon) = DaemonLab::new("supervised=yes") else {
        return;
    };
    let file = daemon.file.to_string_lossy();
    let mut child = daemon.spawn(daemon.lab.director.command(&[&file, "start"]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let listening = lines.find_map(|line| {
        let line = line.unwrap();
        line.contains("listening").then_some(line)
    });
    // [Sat Nov 21 16:06:17 2026] listening at …
    let line = listening.expect("it listens");
    assert_eq!(line.find(']'), Some(25), "{line}");
    assert!(!daemon.pid_file().exists());
    assert_eq!(daemon.table(), TWO);
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(lines.any(|line| line.unwrap().contains("Purged virtual server (stop)")));
    assert!(child.wait().unwrap().success());
}
