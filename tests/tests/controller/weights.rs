//! What a real server's weight follows beside the file: its return, a script, its agent, its speed.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::server;
use parking_lot::Mutex;

use crate::health_lab::{HealthLab, PATIENCE, QUICK, virtual_service};

/// Two real servers of weight 100, and these lines.
fn file(lines: &str) -> String {
    let mut all = String::new();
    for number in 1..=2 {
        let _ = writeln!(all, "real = {}:80 masq 100", server(Ipv4, number));
    }
    QUICK.to_owned() + &virtual_service(&(all + lines))
}

/// Takes connections on a port of a real server, and answers each as `answer` says; until the test ends.
fn listen(health: &HealthLab, number: u8, port: u16, answer: impl Fn() -> String + Send + 'static) {
    let address = SocketAddr::new(server(Ipv4, number), port);
    let namespace = health.lab.servers[usize::from(number) - 1].namespace();
    let listener = namespace.enter(|| TcpListener::bind(address)).unwrap();
    let listener = listener.unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // A question is one segment; who asks may be gone when the answer is ready.
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer().as_bytes());
        }
    });
}

#[test]
fn a_server_that_comes_back_grows_to_its_weight() {
    let Some(mut health) = HealthLab::of(&file("slowstart = 2s")) else {
        return;
    };
    // Nobody comes back at the start.
    assert_eq!(health.table(), "1=100 2=100");
    health.lab.servers[0].crash();
    health.becomes("2=100");
    let before = health.log().len();
    health.lab.servers[0].recover().unwrap();
    health.becomes("1=100 2=100");
    let log = health.log().split_off(before);
    let weight = |line: &str| {
        let (_, weight) = line.split_once("10.2.0.11:80 (10.1.0.102:80) (Weight set to ")?;
        weight.split_once(')')?.0.parse().ok()
    };
    let mut weights: Vec<u32> = log
        .lines()
        .filter(|line| !line.contains("event {"))
        .filter_map(weight)
        .collect();
    assert_eq!((weights[0], weights.last()), (5, Some(&100)), "{log}");
    assert!(weights.is_sorted(), "{weights:?}");
    weights.dedup();
    assert!(weights.len() > 2, "{weights:?}");
}

#[test]
fn a_weight_follows_what_the_servers_agent_says() {
    let lines = "weightby = agent:9999\nagentinterval = 50ms\nagentsend = \"shop\\n\"\n";
    let Some(health) = HealthLab::of(&file(lines)) else {
        return;
    };
    // An agent that cannot be asked says nothing.
    assert_eq!(health.table(), "1=100 2=100");
    let line = Arc::new(Mutex::new("50%\n".to_owned()));
    let said = Arc::clone(&line);
    listen(&health, 1, 9999, move || said.lock().clone());
    health.becomes("1=50 2=100");
    let says = |text: &str, table: &str| {
        *line.lock() = text.to_owned();
        health.becomes(table);
    };
    says("drain\n", "1=0 2=100");
    says("ready,75%\n", "1=75 2=100");
    says("down # disk is full\n", "2=100");
    health.logs("its agent says it is down: disk is full");
    says("up\n", "1=75 2=100");
    // The operator's word counts more.
    health
        .lab
        .director
        .lvsadm("weight all 10.2.0.11 30")
        .unwrap();
    says("100%\n", "1=30 2=100");
    health.logs("the agent of 10.2.0.11:80 (10.1.0.102:80) says \"100%\"");
    assert_eq!(health.table(), "1=30 2=100");
}

/// An external check whose exit code stands in a file named after the server's address.
fn script(folder: &Path) -> String {
    let path = folder.join("weigh");
    let text = format!("#!/bin/sh\nexit $(cat {}/$3)\n", folder.display());
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn a_weight_follows_the_exit_code_of_a_script() {
    let folder = tempfile::tempdir().unwrap();
    let exits = |number: u8, code: u8| {
        let path = folder.path().join(server(Ipv4, number).to_string());
        // Whole or not at all: the script may read it at any moment.
        let new = path.with_extension("new");
        fs::write(&new, format!("{code}\n")).unwrap();
        fs::rename(new, path).unwrap();
    };
    exits(1, 12);
    exits(2, 0);
    let lines = "checktype = external\nweightby = script\nchecktimeout = 10s\n";
    let command = script(folder.path());
    let Some(health) = HealthLab::of(&file(&format!("{lines}checkcommand = {command}\n"))) else {
        return;
    };
    // Its first weight is already the script's.
    assert_eq!(health.table(), "1=10 2=100");
    for (code, table) in [
        (202, "1=200 2=100"),
        (2, "1=0 2=100"),
        (1, "2=100"),
        (0, "1=100 2=100"),
    ] {
        exits(1, code);
        health.becomes(table);
    }
}

#[test]
fn a_weight_follows_how_long_answers_take() {
    let lines = "weightby = time\nchecktype = negotiate\nservice = http\ncheckport = 8081\n\
                 negotiatetimeout = 10s\n";
    // Nobody answers there yet.
    let Some(health) = HealthLab::of(&file(lines)) else {
        return;
    };
    let delays = [100, 300].map(|delay| Arc::new(AtomicU64::new(delay)));
    for (number, delay) in (1..).zip(&delays) {
        let delay = Arc::clone(delay);
        listen(&health, number, 8081, move || {
            thread::sleep(Duration::from_millis(delay.load(Ordering::Relaxed)));
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
        });
    }
    let weights = || {
        let table = health.table();
        let weights = table.split(' ').filter_map(|entry| {
            let (_, weight) = entry.split_once('=')?;
            weight.parse::<u32>().ok()
        });
        weights.collect::<Vec<_>>()
    };
    let settles = |is_so: fn(u32, u32) -> bool| {
        let holds = || matches!(weights()[..], [first, second] if is_so(first, second));
        assert!(eventually(PATIENCE, holds), "{}", health.table());
    };
    settles(|first, second| first == 100 && second < 60);
    // Now the other one is three times as slow.
    delays[0].store(900, Ordering::Relaxed);
    settles(|first, second| first < 60 && second == 100);
}
