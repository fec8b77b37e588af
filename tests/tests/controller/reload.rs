//! Files change.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::virtual_address;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::health_lab::{HealthLab, PATIENCE, QUICK, reals, virtual_service as service_lines};

#[test]
fn a_reload_touches_what_changed_and_nothing_else() {
    let file = |lines: String| QUICK.to_owned() + &service_lines(&lines);
    let Some(mut health) = HealthLab::of(&file(reals(&[1, 2]))) else {
        return;
    };
    health.lab.servers[1].crash();
    health.becomes("1=5");
    let before = health.log().len();
    health.write(&file(
        reals(&[1, 2]) + "real = 10.2.0.13:80 masq 4\nscheduler = wlc",
    ));
    health.reload().unwrap();
    health.becomes("1=5 3=4");
    let log = health.log().split_off(before);
    assert!(
        log.contains("Changed virtual server: 10.1.0.102:80"),
        "{log}"
    );
    assert!(
        log.contains("reload: 10.1.0.102:80: real server 10.2.0.13:80 is new"),
        "{log}"
    );
    for address in ["10.2.0.11", "10.2.0.12"] {
        let line = format!("real server: {address}");
        assert!(!log.contains(&line), "{address} is as before: {log}");
    }
    health.write(&file(reals(&[3])));
    health.reload().unwrap();
    // It is known to be up already; with the other weight of before it never stopped serving.
    assert_eq!(health.table(), "3=5");
}

#[test]
fn a_reload_adds_what_was_deleted_by_hand() {
    let file = QUICK.to_owned() + &service_lines(&reals(&[1, 2]));
    let Some(mut health) = HealthLab::of(&file) else {
        return;
    };
    health.becomes("1=5 2=5");
    let by_hand = |line: &str| {
        let service = format!("-t {}:80", virtual_address(Ipv4, Nat));
        let line = line.replace("SERVICE", &service);
        health.lab.director.lvsadm(&line).unwrap();
    };
    let saved = || health.lab.director.lvsadm("-Sn").unwrap();
    let whole = saved();
    by_hand("-D SERVICE");
    assert_eq!(health.table(), "");
    health.reload().unwrap();
    assert_eq!(saved(), whole);
    assert_eq!(health.answering(), ["server1", "server2"]);
    // What was edited stays, and the log says so.
    let before = health.log().len();
    health.reload().unwrap();
    let log = health.log().split_off(before);
    assert!(!log.contains("by hand"), "{log}");
    by_hand("-e SERVICE -r 10.2.0.11:80 -m -w 3");
    health.reload().unwrap();
    assert_eq!(health.table(), "1=3 2=5");
    health.logs("what was changed by hand stays");
    by_hand("-e SERVICE -r 10.2.0.11:80 -m -w 5");
    // A server that is down is none that was removed by hand.
    health.lab.servers[0].crash();
    health.becomes("2=5");
    let before = health.log().len();
    health.reload().unwrap();
    assert_eq!(health.table(), "2=5");
    let log = health.log().split_off(before);
    assert!(!log.contains("by hand"), "{log}");
}

#[test]
fn a_wrong_file_leaves_everything_as_it_is() {
    let good = QUICK.to_owned() + &service_lines(&reals(&[1, 2]));
    let Some(mut health) = HealthLab::of(&good) else {
        return;
    };
    health.write(&(QUICK.to_owned() + &service_lines(&(reals(&[3]) + "schedular = wlc"))));
    let complaint = health.reload().unwrap_err();
    assert!(complaint.contains("at line 10"), "{complaint}");
    assert_eq!(health.table(), "1=5 2=5");
    // The old file is still cared for.
    health.lab.servers[0].crash();
    health.becomes("2=5");
    health.write("virtual = nonsense");
    assert!(health.reload().is_err());
    assert_eq!(health.table(), "2=5");
}

#[test]
fn a_reload_reaches_servers_behind_another_interface() {
    let file = |lines: &str| QUICK.to_owned() + &service_lines(lines);
    let Some(health) = HealthLab::of_none(&file("")) else {
        return;
    };
    let interfaces = || {
        let shown = health.lab.director.lvsadm("--status").unwrap();
        let words = shown.split_whitespace();
        let names = words.filter(|word| ["front", "back"].contains(word));
        names.collect::<Vec<_>>().join(" ")
    };
    // The operator's choice is his.
    health.start_on(&["front"]);
    health.write(&file(&reals(&[1])));
    health.reload().unwrap();
    health.logs("packets of the services come and go by back, too");
    assert_eq!(interfaces(), "front");
    // A service that the next daemon finds leads it to its servers' interface until the file is applied.
    health.write(&file(""));
    health.reload().unwrap();
    health.lab.director.kill();

    health.start_on(&[]);
    let found = interfaces();
    assert_eq!(
        found,
        "front",
        "{}",
        health.lab.director.lvsadm("--status").unwrap()
    );
    health.write(&file(&reals(&[1])));
    health.reload().unwrap();
    assert_eq!(interfaces(), "front back");
    health.becomes("1=5");
    // Its answers come in there.
    assert_eq!(health.answering(), ["server1"]);
}

/// Each way of reading the configuration again, and what the log says when it was read.
#[test]
fn changed_lists_of_clients_are_read_with_the_file_that_names_them() {
    let Some(health) = HealthLab::of_none("") else {
        return;
    };
    let list = health.lab.folder().join("blocked");
    let denied = |denied: bool| {
        let prefix = if denied { "10.1.0.0/24" } else { "10.9.0.0/24" };
        fs::write(&list, format!("# blocked\n{prefix}\n")).unwrap();
    };
    let lines = reals(&[1]) + &format!("deny = {}\n", list.display());
    let file = |head: &str| head.to_owned() + QUICK + &service_lines(&lines);
    health.write(&file(""));
    denied(false);
    health.start();
    health.becomes("1=5");
    let to = SocketAddr::new(virtual_address(Ipv4, Nat), 80);
    let refused = || {
        let shown = health.lab.director.lvsadm("--verdicts -X").unwrap();
        let row = shown
            .lines()
            .find_map(|line| line.strip_prefix("drop-denied"));
        let packets = row.and_then(|rest| rest.split_whitespace().next());
        let packets = packets.unwrap_or_else(|| panic!("{shown}"));
        packets.parse::<u64>().unwrap()
    };
    // What is refused is not answered: its count says so, and not the time that passes.
    let connects = || {
        let before = refused();
        let served = eventually(PATIENCE, || {
            let connect = || TcpStream::connect_timeout(&to, Duration::from_millis(400)).is_ok();
            let connected = health.lab.client.namespace().enter(connect).unwrap();
            connected || refused() > before
        });
        assert!(served, "neither served nor refused");
        refused() == before
    };
    let serves = |served: bool| {
        let holds = eventually(PATIENCE, || connects() == served);
        assert!(holds, "served: {}", !served);
    };
    serves(true);

    denied(true);
    health.reload().unwrap();
    assert!(!connects());

    denied(false);
    let status = health.status();
    let pid = Pid::from_raw(status.pid.try_into().unwrap());
    kill(pid, Signal::SIGHUP).unwrap();
    serves(true);

    // A list with errors changes nothing, and its lines are named.
    fs::write(&list, "10.1.0.0/24\n\n10.1.0.7/24\n").unwrap();
    let complaint = health.reload().unwrap_err();
    assert!(
        complaint.contains("line 3: has bits beyond its length"),
        "{complaint}"
    );
    assert!(complaint.contains("blocked"), "{complaint}");
    serves(true);

    denied(false);
    health.write(&file("autoreload = yes\n"));
    health.reload().unwrap();
    denied(true);
    serves(false);
    fs::write(&list, "10.9.0.0/24\nnonsense\n").unwrap();
    health.logs("line 2: is no prefix");
    serves(false);
    denied(false);
    serves(true);
}
