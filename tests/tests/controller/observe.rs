//! Failures of clients' connections count as failed health checks where the service observes them.

use std::fmt::Write as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::{Direct, Nat};
use lvs_tests::eventually;
use lvs_tests::lab::Lab;
use lvs_tests::lab::addresses::{server, virtual_address};

use crate::health_lab::{HealthLab, PATIENCE, reals, virtual_service};

/// Connections that nobody waits for long: curl is given no time to try again.
fn knock(health: &HealthLab, address: std::net::IpAddr, count: usize) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--connect-timeout", "3", "--noproxy", "*"])
        .arg(format!("http://{address}/?[1-{count}]"))
        .args(["--header", "Connection: close"]);
    // Some fail, as is meant.
    let client = health.lab.client.namespace();
    let _ = client.output(&mut curl).unwrap();
}

/// Health checks that never fail: only connections of clients tell.
const BLIND: &str = "\
checktype = on
quiescent = yes
scheduler = wrr
observe = path
onerror = mark-down
maxfails = 3";

#[test]
fn refused_connections_take_a_server_out_for_a_while_without_any_health_check() {
    let lines = format!("{BLIND}\nfailtimeout = 4s\n{}", reals(&[1, 2, 3]));
    let Some(mut health) = HealthLab::of(&virtual_service(&lines)) else {
        return;
    };
    let address = virtual_address(Ipv4, Nat);
    health.becomes("1=5 2=5 3=5");
    health.lab.servers[2].crash();
    knock(&health, address, 12);
    let moment = Instant::now();
    health.becomes("1=5 2=5 3=0");
    health.logs("SYNs of clients refused or not answered within 4 s (maxfails = 3)");
    health.lab.servers[2].recover().unwrap();
    health.becomes("1=5 2=5 3=5");
    let out = moment.elapsed();
    assert!(out > Duration::from_secs(2), "it was out for {out:?} only");
}

#[test]
fn the_last_server_is_left_to_its_health_checks() {
    let lines = format!("{BLIND}\nfailtimeout = 60s\n{}", reals(&[1, 2]));
    let Some(mut health) = HealthLab::of(&virtual_service(&lines)) else {
        return;
    };
    health.becomes("1=5 2=5");
    health.lab.servers[0].crash();
    health.lab.servers[1].crash();
    knock(&health, virtual_address(Ipv4, Nat), 20);
    health.logs("it stays, because no other server is up");
    let serving = health.table().matches("=5").count();
    assert_eq!(serving, 1, "{}", health.table());
}

#[test]
fn a_silent_server_whose_checks_are_good_is_taken_out_too() {
    let to = virtual_address(Ipv4, Direct);
    let mut text = format!("virtual = {to}:80\n");
    for number in 1..=Lab::SERVERS {
        let _ = writeln!(text, "\treal = {}:80 gate 5", server(Ipv4, number));
    }
    // The server's own address answers all the time.
    text += "\tchecktype = connect\n\tinterval = 100ms\n\tquiescent = yes\n\tredispatch = yes\n\tscheduler = wrr\n";
    let observed = "\tobserve = path\n\tmaxfails = 2\n\tfailtimeout = 60s\n";
    let Some(health) = HealthLab::of(&text) else {
        return;
    };
    health.becomes("1=5 2=5 3=5");
    let third = health.lab.servers[2].namespace();
    third
        .ip(&format!(
            "addr del {to}/32 dev lo\nroute add blackhole {to}\n"
        ))
        .unwrap();
    let knock_at_once = || {
        thread::scope(|scope| {
            for _ in 0..9 {
                scope.spawn(|| knock(&health, to, 1));
            }
        });
    };
    knock_at_once();
    // Every probe after that is good, too.
    thread::sleep(Duration::from_millis(500));
    assert_eq!(health.table(), "1=5 2=5 3=5", "nobody asked for it");
    health.write(&(text.clone() + observed));
    health.reload().unwrap();
    let out = || {
        knock_at_once();
        health.table() == "1=5 2=5 3=0"
    };
    assert!(eventually(PATIENCE, out), "{}", health.table());
    let listed = health.health();
    let third = listed.services[0]
        .servers
        .iter()
        .find(|it| it.address.ip() == server(Ipv4, 3));
    let last = &third.unwrap().last;
    assert!(last.contains("not answered within 60 s"), "{last}");
}

#[test]
fn a_server_that_answers_no_client_is_told_of_with_the_likely_reasons() {
    let to = virtual_address(Ipv4, Direct);
    let text = format!(
        "virtual = {to}:80\n\treal = {}:80 gate 5\n\treal = {}:80 gate 5\n\tchecktype = connect\n\tinterval = 1s\n\t\
         ondown = keep\n",
        server(Ipv4, 1),
        server(Ipv4, 2)
    );
    let Some(health) = HealthLab::of(&text) else {
        return;
    };
    health.becomes("1=5 2=5");
    let lost = format!("addr del {to}/32 dev lo\nroute add blackhole {to}\n");
    health.lab.servers[0].namespace().ip(&lost).unwrap();
    let told = format!("{}:80 of {to}:80 answers no client", server(Ipv4, 1));
    let found = || {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| knock(&health, to, 1));
            }
        });
        health.log().contains(&told)
    };
    assert!(eventually(PATIENCE, found), "{}", health.log());
    assert!(health.log().contains("arp_ignore"), "{}", health.log());
    let status = health.lab.director.lvsadm("status").unwrap();
    assert!(status.contains(&told), "{status}");
    assert_eq!(health.log().matches("WARN 10.2").count(), 1);
    // It answers again.
    let back = format!("route del blackhole {to}\naddr add {to}/32 dev lo\n");
    health.lab.servers[0].namespace().ip(&back).unwrap();
}
