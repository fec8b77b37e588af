//! Servers die and come back.

use lvs_api::model::Family::Ipv4;
use lvs_tests::lab::addresses::server;

use crate::health_lab::{HealthLab, QUICK, reals, virtual_service};

#[test]
fn a_server_that_crashes_is_removed_and_comes_back() {
    let fallback = format!("fallback = {}:80 masq", server(Ipv4, 3));
    let lines = reals(&[1, 2]) + "checktype = negotiate\nservice = http\n" + &fallback;
    let Some(mut health) = HealthLab::of(&(QUICK.to_owned() + &virtual_service(&lines))) else {
        return;
    };
    // The start is over when everybody has been asked.
    assert_eq!(health.table(), "1=5 2=5");
    assert_eq!(health.answering(), ["server1", "server2"]);
    assert!(
        !health.log().contains("fallback server"),
        "no flap at the start"
    );

    health.lab.servers[0].crash();
    health.becomes("2=5");
    assert_eq!(health.answering(), ["server2"]);
    health.logs("Soft failure real server: 10.2.0.11:80 (tcp:10.1.0.102:80) failure 1/2");
    health.logs("Deleted real server: 10.2.0.11:80 (10.1.0.102:80)");

    health.lab.servers[1].crash();
    health.becomes("3=1");
    health.logs("Added fallback server: 10.2.0.13:80 (10.1.0.102:80) (Weight set to 1)");
    assert_eq!(health.answering(), ["server3"]);

    health.lab.servers[0].recover().unwrap();
    health.becomes("1=5");
    health.logs("Deleted fallback server: 10.2.0.13:80 (10.1.0.102:80)");
    assert_eq!(health.answering(), ["server1"]);

    // With cleanstop nothing is left behind.
    health.lab.director.stop().unwrap();
    health.lab.director.start().unwrap();
    assert_eq!(health.lab.director.lvsadm("-Sn").unwrap(), "");
}

#[test]
fn a_server_that_hangs_is_quiesced() {
    let lines = reals(&[1, 2]) + "checktype = negotiate\nservice = http\nquiescent = yes\n";
    let Some(health) = HealthLab::of(&(QUICK.to_owned() + &virtual_service(&lines))) else {
        return;
    };
    assert_eq!(health.table(), "1=5 2=5");
    health.lab.servers[0].hang().unwrap();
    health.becomes("1=0 2=5");
    health.logs("Quiescent real server: 10.2.0.11:80 (10.1.0.102:80) (Weight set to 0)");
    assert_eq!(health.answering(), ["server2"]);
    health.lab.servers[0].wake().unwrap();
    health.becomes("1=5 2=5");
    health.logs("Restored real server: 10.2.0.11:80 (10.1.0.102:80) (Weight set to 5)");
}

#[test]
fn a_new_daemon_takes_over_without_a_flap() {
    let lines = reals(&[1, 2, 3]);
    let Some(mut health) = HealthLab::of(&(QUICK.to_owned() + &virtual_service(&lines))) else {
        return;
    };
    health.lab.servers[2].crash();
    health.becomes("1=5 2=5");
    let before = health.log().len();
    health.lab.director.kill();
    // Dies while nobody looks.
    health.lab.servers[1].crash();
    health.start();
    health.becomes("1=5");
    let log = health.log().split_off(before);
    let changes: Vec<_> = log
        .lines()
        .filter(|line| line.contains(" real server: ") && !line.contains("event {"))
        .filter(|line| !line.contains("Soft failure"))
        .collect();
    assert_eq!(changes.len(), 1, "{log}");
    assert!(
        changes[0].contains("Deleted real server: 10.2.0.12:80"),
        "{log}"
    );
}

#[test]
fn cleanstop_no_leaves_everything_forwarding() {
    let lines = reals(&[1, 2]) + "cleanstop = no\n";
    let Some(health) = HealthLab::of(&(QUICK.to_owned() + &virtual_service(&lines))) else {
        return;
    };
    health.lab.director.stop().unwrap();
    assert_eq!(health.answering(), ["server1", "server2"]);
}
