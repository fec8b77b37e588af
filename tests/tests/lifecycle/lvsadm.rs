//! lvsadm's verbs: status, server, weight, drain, events.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lvs_api::health::{Event, Health};
use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::virtual_address;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon_lab::{DaemonLab, text};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

fn started() -> Option<DaemonLab> {
    let daemon = DaemonLab::new("")?;
    daemon.does("start");
    Some(daemon)
}

#[test]
fn status_shows_every_server_with_its_last_health_check() {
    let Some(daemon) = started() else {
        return;
    };
    let director = &daemon.lab.director;
    let shown = director.lvsadm("status").unwrap();
    let address = virtual_address(Ipv4, Nat);
    let first = format!("This director is master\n\ntcp {address}:80 shop  2 of 2 up");
    assert!(shown.starts_with(&first), "{shown}");
    let line = shown
        .lines()
        .find(|line| line.contains("10.2.0.11:80 "))
        .unwrap();
    assert!(
        line.contains(" up ") && line.contains("HTTP 200"),
        "{shown}"
    );
    assert!(!shown.contains('\x1b'), "colours are for terminals");
    let json: Health = serde_json::from_str(&director.lvsadm("status --json").unwrap()).unwrap();
    assert_eq!(json.services[0].servers.len(), 2);
}

#[test]
fn a_real_server_can_be_named_by_service_name_or_address() {
    let Some(daemon) = started() else {
        return;
    };
    let director = &daemon.lab.director;
    let address = virtual_address(Ipv4, Nat);
    for (service, server) in [
        ("shop".to_owned(), "10.2.0.11"),
        (format!("{address}:80"), "10.2.0.11:80"),
        (format!("tcp:{address}:80"), "10.2.0.11"),
        ("all".to_owned(), "10.2.0.11"),
    ] {
        director
            .lvsadm(&format!("server {service} {server} maint"))
            .unwrap();
        daemon.becomes("10.2.0.12:80 5");
        director
            .lvsadm(&format!("server {service} {server} ready"))
            .unwrap();
        daemon.becomes("10.2.0.11:80 5, 10.2.0.12:80 5");
    }
    director.lvsadm("weight shop 10.2.0.11 20").unwrap();
    assert_eq!(daemon.table(), "10.2.0.11:80 20, 10.2.0.12:80 5");
    director.lvsadm("weight shop 10.2.0.11 configured").unwrap();

    for (line, code) in [
        ("server shop 10.2.0.99 maint", 255),
        ("server other 10.2.0.11 maint", 255),
        ("server shop 10.2.0.11 gone", 2),
        ("weight shop 10.2.0.11 much", 2),
        ("drain 10.2.0.11 --timeout soon", 2),
    ] {
        let output = director.try_lvsadm(line).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {output:?}");
        assert!(!output.stderr.is_empty(), "{line}");
    }
    // ipvsadm has no verbs, and its own grammar has not changed.
    assert_eq!(
        director.try_lvsadm("frobnicate").unwrap().status.code(),
        Some(255)
    );
}

#[test]
fn drain_waits_for_the_last_connection_but_not_beyond_its_deadline() {
    let Some(daemon) = started() else {
        return;
    };
    let director = &daemon.lab.director;
    director.lvsadm("server shop 10.2.0.12 maint").unwrap();
    let address = SocketAddr::new(virtual_address(Ipv4, Nat), 80);
    let connect = || TcpStream::connect(address);
    let client = daemon.lab.client.namespace();
    let connection = client.enter(connect).unwrap().unwrap();

    let output = director.try_lvsadm("drain 10.2.0.11 --timeout 1s").unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stdout).contains("1 left"), "{output:?}");
    assert_eq!(daemon.table(), "10.2.0.11:80 0");

    let mut drain = Command::new(director.lvsadm_program());
    drain
        .arg("--socket")
        .arg(director.socket())
        .args(["drain", "10.2.0.11"]);
    let mut drain = drain.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(drain.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("1 left"), "{first}");
    drop(connection);
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(drain.wait().unwrap().success(), "{rest:?}");
    assert!(rest.last().unwrap().contains("is empty"), "{rest:?}");
}

#[test]
fn drain_updates_one_line_in_place_on_a_terminal() {
    let Some(daemon) = started() else {
        return;
    };
    let director = &daemon.lab.director;
    director.lvsadm("server shop 10.2.0.12 maint").unwrap();
    let address = SocketAddr::new(virtual_address(Ipv4, Nat), 80);
    let client = daemon.lab.client.namespace();
    let connect = || TcpStream::connect(address).unwrap();
    let mut connections: Vec<_> = client.enter(|| [connect(), connect()]).unwrap().into();

    let (program, socket) = (director.lvsadm_program(), director.socket());
    let line = format!(
        "{} --socket {} drain 10.2.0.11",
        program.display(),
        socket.display()
    );
    // script(1) gives it a terminal, passes on what it shows there, and ends with its exit code.
    let mut drain = Command::new("script");
    drain.args(["-q", "-e", "-c", &line, "/dev/null"]);
    let mut drain = drain
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(drain.stdout.take().unwrap());
    let mut next = || {
        let mut state = Vec::new();
        shown.read_until(b'K', &mut state).unwrap();
        text(&state)
    };
    let begin = "\r10.2.0.11 [..............................] 2 left, 0 closing\x1b[K";
    assert_eq!(next(), begin);
    connections.pop();
    let half = loop {
        let state = next();
        if state != begin {
            break state;
        }
    };
    assert!(
        half.starts_with("\r10.2.0.11 [###############...............] 1 left, "),
        "{half:?}"
    );
    connections.pop();
    let end = loop {
        let state = next();
        if !state.contains(" 1 left, ") {
            break state;
        }
    };
    assert!(end.starts_with("\r10.2.0.11 is empty, "), "{end:?}");
    assert_eq!(next(), "\r\n");
    assert!(drain.wait().unwrap().success());
}

#[test]
fn events_are_shown_as_they_happen() {
    let Some(mut daemon) = started() else {
        return;
    };
    let director = &daemon.lab.director;
    let mut events = Command::new(director.lvsadm_program());
    events.arg("--socket").arg(director.socket()).arg("events");
    let mut events = events.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut next = || {
        let line = lines.next().unwrap().unwrap();
        serde_json::from_str::<Event>(&line).unwrap()
    };
    // Events before the subscription are lost: the override is repeated until its event arrives.
    let arrived = AtomicBool::new(false);
    let asked = thread::scope(|scope| {
        scope.spawn(|| {
            while !arrived.load(Ordering::Relaxed) {
                for state in ["drain", "ready"] {
                    director
                        .lvsadm(&format!("server shop 10.2.0.12 {state}"))
                        .unwrap();
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        let event = next();
        arrived.store(true, Ordering::Relaxed);
        event
    });
    assert!(["drain", "ready"].contains(&&*asked.event), "{asked:?}");
    daemon.lab.servers[0].crash();
    let down = loop {
        let event = next();
        if event.event == "down" {
            break event;
        }
    };
    assert_eq!(down.server, "10.2.0.11:80".parse().ok());
    assert!(down.text.contains("real server: 10.2.0.11:80"), "{down:?}");
    assert!(down.reason.contains("10.2.0.11:80"), "{down:?}");
    daemon.does("stop");
    // The daemon has ended, and so does the listing of what happens in it.
    while lines.next().is_some() {}
    assert!(events.wait().unwrap().success());
}

#[test]
fn a_follower_of_events_that_is_disconnected_fails_and_says_so() {
    let Some(daemon) = started() else {
        return;
    };
    let director = &daemon.lab.director;
    let follow = || {
        let mut events = Command::new(director.lvsadm_program());
        events.arg("--socket").arg(director.socket()).arg("events");
        events.stdout(Stdio::null()).stderr(Stdio::piped());
        events.spawn().unwrap()
    };
    let fails = |events: Child| {
        let ended = events.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(1));
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains("events are no longer followed"), "{said}");
    };
    // More clients than there is room for: those that have been quiet for longest are disconnected.
    let mut evicted = follow();
    let mut others = Vec::new();
    let gone = eventually(PATIENCE, || {
        others.push(UnixStream::connect(director.socket()).unwrap());
        evicted.try_wait().unwrap().is_some()
    });
    assert!(gone);
    fails(evicted);
    drop(others);
    let mut cut_off = follow();
    // It is connected once lvsd has the connection.
    let connected = || {
        let listed = Command::new("ss").args(["-Hxp"]).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        listed.contains(&format!("pid={},", cut_off.id()))
    };
    assert!(eventually(PATIENCE, connected));
    let pid = daemon.pid().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert!(eventually(PATIENCE, || {
        cut_off.try_wait().unwrap().is_some()
    }));
    fails(cut_off);
}
