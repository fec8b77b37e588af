//! What operators do.

use std::fs;

use lvs_api::health::{AdminState, State};
use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::{Direct, Nat};
use lvs_tests::lab::addresses::virtual_address;

use crate::care::{Care, QUICK, reals, virtual_service};

fn plain() -> String {
    QUICK.to_owned() + &virtual_service(&reals(&[1, 2]))
}

#[test]
fn what_is_changed_by_hand_stays_until_the_servers_state_changes() {
    let Some(mut care) = Care::of(&plain()) else {
        return;
    };
    let director = &care.lab.director;
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
    care.reload().unwrap();
    assert_eq!(care.table(), "1=9 3=7");
    care.lab.servers[0].crash();
    care.becomes("3=7");
    care.lab.servers[0].recover().unwrap();
    care.becomes("1=5 3=7");
    // At a start the file counts; services that it does not name are nobody's business.
    care.lab.director.kill();
    care.start();
    care.becomes("1=5 2=5");
    care.logs("Purged real server (start): 10.2.0.13:80 (10.1.0.102:80)");
    let saved = care.lab.director.lvsadm("-Sn").unwrap();
    assert!(saved.contains(foreign.trim()), "{saved}");
}

#[test]
fn orders_are_obeyed_and_kept_over_a_restart() {
    let Some(care) = Care::of(&plain()) else {
        return;
    };
    let director = &care.lab.director;
    director.lvsadm("server all 10.2.0.11 drain").unwrap();
    assert_eq!(care.table(), "1=0 2=5");
    director.lvsadm("weight all 10.2.0.12:80 50%").unwrap();
    assert_eq!(care.table(), "1=0 2=3");
    care.lab.director.kill();
    care.start();
    assert_eq!(care.table(), "1=0 2=3");
    let health = care.health();
    let server = &health.services[0].servers[0];
    assert_eq!((server.state, server.admin), (State::Up, AdminState::Drain));
    assert_eq!((server.configured, server.effective), (5, Some(0)));
    assert!(server.last.contains("10.2.0.11:80"), "{health:?}");

    let director = &care.lab.director;
    director.lvsadm("server all 10.2.0.11 maint").unwrap();
    assert_eq!(care.table(), "2=3");
    director.lvsadm("server all 10.2.0.11 ready").unwrap();
    care.becomes("1=5 2=3");
    director.lvsadm("weight all 10.2.0.12 configured").unwrap();
    care.becomes("1=5 2=5");
    let refused = director.try_lvsadm("server all 10.2.0.99 maint").unwrap();
    assert!(!refused.status.success());
}

#[test]
fn orders_outlive_a_reboot() {
    let Some(care) = Care::of_none(&plain()) else {
        return;
    };
    let state = care.lab.folder().join("state");
    let state = state.to_string_lossy();
    care.start_with(&["--state", &state]);
    let director = &care.lab.director;
    director.lvsadm("server all 10.2.0.11 drain").unwrap();
    director.kill();
    // Nothing is left in the kernel, and nothing below /run.
    fs::remove_file(director.socket()).unwrap();
    care.start_with(&["--state", &state, "--reset"]);
    assert_eq!(care.table(), "1=0 2=5");
}

#[test]
fn a_file_in_the_maintenance_directory_takes_a_server_out() {
    let Some(care) = Care::of(&plain()) else {
        return;
    };
    let folder = care.lab.folder().join("maintenance");
    fs::create_dir(&folder).unwrap();
    let maintained = format!("maintenancedir = {}\n{}", folder.display(), plain());
    care.write(&maintained);
    care.reload().unwrap();
    assert_eq!(care.table(), "1=5 2=5");
    fs::write(folder.join("10.2.0.11:80"), "").unwrap();
    care.becomes("2=5");
    care.logs("Server in maintenance");
    fs::remove_file(folder.join("10.2.0.11:80")).unwrap();
    care.becomes("1=5 2=5");
}
