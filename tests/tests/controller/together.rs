//! Servers of a service together: backups, quorum, events and commands.

use std::fs;
use std::time::Duration;

use lvs_api::health::Event;
use lvs_api::model::Family::Ipv4;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::server;

use crate::health_lab::{HealthLab, PATIENCE, QUICK, reals, virtual_service};

#[test]
fn backups_fallback_and_commands_follow_the_servers() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let lines = reals(&[1, 2])
        + &format!("real = {}:80 masq 2 backup=yes\n", server(Ipv4, 3))
        + &format!(
            "monitorfile = {}\n",
            folder.path().join("monitor").display()
        )
        + &format!("fallback = {}:8080 masq\n", server(Ipv4, 3))
        + &format!(
            "fallbackcommand = \"f() {{ echo $* >> {}; }}; f\"\n",
            said.display()
        );
    let told = folder.path().join("events");
    let globals = format!("{QUICK}eventcommand = \"cat >> {}\"\n", told.display());
    let Some(mut health) = HealthLab::of(&(globals + &virtual_service(&lines))) else {
        return;
    };
    assert_eq!(health.table(), "1=5 2=5 3=0");
    let said = || fs::read_to_string(&said).unwrap_or_default();
    let says = |text: &str| {
        let said_so = eventually(PATIENCE, || said() == text);
        assert!(said_so, "expected {text:?}, found {:?}", said());
    };
    health.lab.servers[0].crash();
    health.becomes("2=5 3=0");
    health.lab.servers[1].crash();
    health.becomes("3=2");
    health.lab.servers[2].crash();
    health.logs("Added fallback server: 10.2.0.13:8080 (10.1.0.102:80) (Weight set to 1)");
    says("start 10.1.0.102:80 tcp\n");
    health.lab.servers[0].recover().unwrap();
    health.becomes("1=5");
    says("start 10.1.0.102:80 tcp\nstop 10.1.0.102:80 tcp\n");

    let log = health.log();
    let logged = log.lines().filter_map(|line| line.split_once(" event "));
    let logged: Vec<_> = logged.map(|(_, event)| event).collect();
    // The command hears of each, one after the other.
    let heard = || fs::read_to_string(&told).unwrap_or_default();
    let all = eventually(PATIENCE, || heard().lines().eq(logged.iter().copied()));
    assert!(all, "{}\n{logged:?}", heard());
    let mut events = Vec::new();
    for line in logged {
        let event: Event = serde_json::from_str(line).unwrap();
        let server = event.server.map_or(String::new(), |s| s.ip().to_string());
        events.push(format!("{} {server}", event.event).trim().to_owned());
    }
    let monitored = fs::read_to_string(folder.path().join("monitor")).unwrap_or_default();
    for line in [
        "connect:tcp:10.2.0.11:80 [up] connection to 10.2.0.11:80 after",
        "connect:tcp:10.2.0.12:80 [down] connection to 10.2.0.12:80 refused",
    ] {
        assert!(monitored.contains(line), "{line}: {monitored}");
    }
    // A line for each probe, also where it says what the one before said.
    let lines = || {
        let monitored = fs::read_to_string(folder.path().join("monitor")).unwrap_or_default();
        monitored.matches("connect:tcp:10.2.0.11:80 [up]").count()
    };
    let before = lines();
    assert!(eventually(Duration::from_secs(10), || lines() >= before + 30));
    // The first outcomes come in any order.
    let tail = events.split_off(3);
    assert_eq!(
        tail,
        [
            "down 10.2.0.11",
            "down 10.2.0.12",
            "down 10.2.0.13",
            "fallback-on",
            "up 10.2.0.11",
            "fallback-off",
        ]
    );
}

#[test]
fn a_quorum_decides_between_too_few_servers_and_the_fallback() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let command = |word: &str| format!("\"echo {word} >> {}\"", said.display());
    let without_fallback = reals(&[1, 2])
        + &format!("quorum = 10\nquorum_up = {}\n", command("gained"))
        + &format!("quorum_down = {}\n", command("lost"));
    let file = |lines: &str| QUICK.to_owned() + &virtual_service(lines);
    let Some(mut health) = HealthLab::of(&file(&without_fallback)) else {
        return;
    };
    let says = |text: &str| {
        let said = || fs::read_to_string(&said).unwrap_or_default();
        let said_so = eventually(PATIENCE, || said() == text);
        assert!(said_so, "expected {text:?}, found {:?}", said());
    };
    says("gained\n");
    health.lab.servers[0].crash();
    says("gained\nlost\n");
    // Half a service is better than none.
    health.becomes("2=5");

    let fallback = format!("fallback = {}:80 masq\n", server(Ipv4, 3));
    health.write(&file(&(without_fallback + &fallback)));
    health.reload().unwrap();
    health.becomes("2=0 3=1");
    health.logs("too few real servers are up");
    assert_eq!(health.answering(), ["server3"]);
    health.lab.servers[0].recover().unwrap();
    health.becomes("1=5 2=5");
    says("gained\nlost\ngained\n");
}
