//! Files change.

use crate::health_lab::{HealthLab, QUICK, reals, virtual_service};

#[test]
fn a_reload_touches_what_changed_and_nothing_else() {
    let file = |lines: String| QUICK.to_owned() + &virtual_service(&lines);
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
fn a_wrong_file_leaves_everything_as_it_is() {
    let good = QUICK.to_owned() + &virtual_service(&reals(&[1, 2]));
    let Some(mut health) = HealthLab::of(&good) else {
        return;
    };
    health.write(&(QUICK.to_owned() + &virtual_service(&(reals(&[3]) + "schedular = wlc"))));
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
    let file = |lines: &str| QUICK.to_owned() + &virtual_service(lines);
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
    health.lab.director.kill();

    health.write(&file(""));
    health.start_on(&[]);
    assert_eq!(interfaces(), "front");
    health.write(&file(&reals(&[1])));
    health.reload().unwrap();
    assert_eq!(interfaces(), "front back");
    health.becomes("1=5");
    // Its answers come in there.
    assert_eq!(health.answering(), ["server1"]);
}
