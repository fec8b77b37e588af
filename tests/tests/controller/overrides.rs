//! Overrides and edits by operators.

use std::fs;

use lvs_api::health::{AdminState, State};
use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::{Direct, Nat};
use lvs_tests::lab::addresses::virtual_address;

use crate::health_lab::{HealthLab, QUICK, reals, virtual_service};

fn plain() -> String {
    QUICK.to_owned() + &virtual_service(&reals(&[1, 2]))
}

#[test]
fn what_is_changed_by_hand_stays_until_the_servers_state_changes() {
    let Some(mut health) = HealthLab::of(&plain()) else {
        return;
    };
    let director = &health.lab.director;
    let service = format!("-t {}:80", virtual_address(Ipv4, Nat));
    let foreign = format!("-A -t {}:80 -s rr\n", virtual_address(Ipv4, Direct));
    director.restore(&foreign).unwrap();
    director
        .lvsadm(&format!("-e {service} -r 10.2.0.11:80 -m -w 9"))
        .unwrap();
    director
        .lvsadm(&format!("-d {service} -r 10.2.0.12:80"))
        .unwrap();
    director
        .lvsadm(&format!("-a {service} -r 10.2.0.13:80 -m -w 7"))
        .unwrap();
    // Probes go on, and a reload that changes nothing changes nothing.
    health.reload().unwrap();
    assert_eq!(health.table(), "1=9 3=7");
    health.lab.servers[0].crash();
    health.becomes("3=7");
    health.lab.servers[0].recover().unwrap();
    health.becomes("1=5 3=7");
    // At a start the file counts; services that it does not name are nobody's business.
    health.lab.director.kill();
    health.start();
    health.becomes("1=5 2=5");
    health.logs("Purged real server (start): 10.2.0.13:80 (10.1.0.102:80)");
    let saved = health.lab.director.lvsadm("-Sn").unwrap();
    assert!(saved.contains(foreign.trim()), "{saved}");
}

#[test]
fn overrides_apply_and_survive_a_restart() {
    let Some(health) = HealthLab::of(&plain()) else {
        return;
    };
    let director = &health.lab.director;
    director.lvsadm("server all 10.2.0.11 drain").unwrap();
    assert_eq!(health.table(), "1=0 2=5");
    director.lvsadm("weight all 10.2.0.12:80 50%").unwrap();
    assert_eq!(health.table(), "1=0 2=3");
    health.lab.director.kill();
    health.start();
    assert_eq!(health.table(), "1=0 2=3");
    let listed = health.health();
    let server = &listed.services[0].servers[0];
    assert_eq!((server.state, server.admin), (State::Up, AdminState::Drain));
    assert_eq!((server.configured, server.effective), (5, Some(0)));
    assert!(server.last.contains("10.2.0.11:80"), "{listed:?}");

    let director = &health.lab.director;
    director.lvsadm("server all 10.2.0.11 maint").unwrap();
    assert_eq!(health.table(), "2=3");
    director.lvsadm("server all 10.2.0.11 ready").unwrap();
    health.becomes("1=5 2=3");
    director.lvsadm("weight all 10.2.0.12 configured").unwrap();
    health.becomes("1=5 2=5");
    let refused = director.try_lvsadm("server all 10.2.0.99 maint").unwrap();
    assert!(!refused.status.success());
}

#[test]
fn overrides_survive_a_reboot() {
    let Some(health) = HealthLab::of_none(&plain()) else {
        return;
    };
    let state = health.lab.folder().join("state");
    let state = state.to_string_lossy();
    health.start_with(&["--state", &state]);
    let director = &health.lab.director;
    director.lvsadm("server all 10.2.0.11 drain").unwrap();
    director.kill();
    // Nothing is left in the kernel, and nothing below /run.
    fs::remove_file(director.socket()).unwrap();
    health.start_with(&["--state", &state, "--reset"]);
    assert_eq!(health.table(), "1=0 2=5");
}

#[test]
fn a_file_in_the_maintenance_directory_takes_a_server_out() {
    let Some(health) = HealthLab::of(&plain()) else {
        return;
    };
    let folder = health.lab.folder().join("maintenance");
    fs::create_dir(&folder).unwrap();
    let maintained = format!("maintenancedir = {}\n{}", folder.display(), plain());
    health.write(&maintained);
    health.reload().unwrap();
    assert_eq!(health.table(), "1=5 2=5");
    fs::write(folder.join("10.2.0.11:80"), "").unwrap();
    health.becomes("2=5");
    health.logs("Server in maintenance");
    fs::remove_file(folder.join("10.2.0.11:80")).unwrap();
    health.becomes("1=5 2=5");
}
