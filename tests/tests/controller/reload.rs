//! Files change.

use crate::care::{Care, QUICK, reals, virtual_service};

#[test]
fn a_reload_touches_what_changed_and_nothing_else() {
    let file = |lines: String| QUICK.to_owned() + &virtual_service(&lines);
    let Some(mut care) = Care::of(&file(reals(&[1, 2]))) else {
        return;
    };
    care.lab.servers[1].crash();
    care.becomes("1=5");
    let before = care.log().len();
    care.write(&file(
        reals(&[1, 2]) + "real = 10.2.0.13:80 masq 4\nscheduler = wlc",
    ));
    care.reload().unwrap();
    care.becomes("1=5 3=4");
    let log = care.log().split_off(before);
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
    care.write(&file(reals(&[3])));
    care.reload().unwrap();
    // It is known to be up already; with the other weight of before it never stopped serving.
    assert_eq!(care.table(), "3=5");
}

#[test]
fn a_wrong_file_leaves_everything_as_it_is() {
    let good = QUICK.to_owned() + &virtual_service(&reals(&[1, 2]));
    let Some(mut care) = Care::of(&good) else {
        return;
    };
    care.write(&(QUICK.to_owned() + &virtual_service(&(reals(&[3]) + "schedular = wlc"))));
    let complaint = care.reload().unwrap_err();
    assert!(complaint.contains("at line 10"), "{complaint}");
    assert_eq!(care.table(), "1=5 2=5");
    // The old file is still cared for.
    care.lab.servers[0].crash();
    care.becomes("2=5");
    care.write("virtual = nonsense");
    assert!(care.reload().is_err());
    assert_eq!(care.table(), "2=5");
}

#[test]
fn a_reload_reaches_servers_behind_another_interface() {
    let file = |lines: &str| QUICK.to_owned() + &virtual_service(lines);
    let Some(care) = Care::of_none(&file("")) else {
        return;
    };
    let interfaces = || {
        let shown = care.lab.director.lvsadm("--status").unwrap();
        let words = shown.split_whitespace();
        let names = words.filter(|word| ["front", "back"].contains(word));
        names.collect::<Vec<_>>().join(" ")
    };
    // The operator's choice is his.
    care.start_on(&["front"]);
    care.write(&file(&reals(&[1])));
    care.reload().unwrap();
    care.logs("packets of the services come and go by back, too");
    assert_eq!(interfaces(), "front");
    care.lab.director.kill();

    care.write(&file(""));
    care.start_on(&[]);
    assert_eq!(interfaces(), "front");
    care.write(&file(&reals(&[1])));
    care.reload().unwrap();
    assert_eq!(interfaces(), "front back");
    care.becomes("1=5");
    // Its answers come in there.
    assert_eq!(care.answering(), ["server1"]);
}
