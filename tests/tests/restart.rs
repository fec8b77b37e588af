//! The daemon is killed, stopped and started: the data plane forwards all the time.

use std::fs;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::{Direct, Nat};
use lvs_api::model::Protocol;
use lvs_common::abi::RENAMED;
use lvs_tests::lab::addresses::{FAMILIES, METHODS, virtual_address};
use lvs_tests::lab::client::{Connections, Load};
use lvs_tests::lab::director::{every_service, service};
use lvs_tests::lab::{Arms, Lab};
use lvs_tests::pairs;

/// Puts load on an address as long as the story goes on, and until enough requests were sent.
fn load_during(lab: &Lab, address: IpAddr, enough: u64, story: impl FnOnce()) -> Load {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut load = Load::default();
            while !over.load(Ordering::Relaxed) || load.requests < enough {
                // Kept connections show that known ones survive, new ones that scheduling does.
                for connections in [Connections::Kept, Connections::New] {
                    load = load.and(lab.client.load(address, connections, 2).unwrap());
                }
            }
            load
        });
        story();
        over.store(true, Ordering::Relaxed);
        load.join().unwrap()
    })
}

#[test]
fn kill_9_and_restart_under_load_fail_no_request_of_twenty_thousand() {
    for method in [Direct, Nat] {
        let lines = service(Protocol::Tcp, Ipv4, method, "rr");
        let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
            return;
        };
        let load = load_during(&lab, virtual_address(Ipv4, method), 20_000, || {
            for _ in 0..4 {
                thread::sleep(Duration::from_millis(700));
                lab.director.kill();
                thread::sleep(Duration::from_millis(300));
                lab.director.start().unwrap();
            }
        });
        assert_eq!(load.failed, 0, "{method:?}: {load:?}");
        assert!(load.requests >= 20_000, "{method:?}: {load:?}");
    }
}

#[test]
fn without_a_daemon_new_connections_are_balanced_by_every_method() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    lab.director.kill();
    for (family, method) in pairs(FAMILIES, METHODS) {
        let names = lab
            .client
            .get_many(virtual_address(family, method), 6)
            .unwrap();
        for server in &lab.servers {
            let answers = names.iter().filter(|name| **name == server.name()).count();
            assert_eq!(answers, 2, "{method:?} over {family:?}: {names:?}");
        }
    }
}

#[test]
fn a_new_daemon_adopts_services_and_counters() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    for method in METHODS {
        lab.client
            .get_many(virtual_address(Ipv4, method), 6)
            .unwrap();
    }
    let (saved, stats) = (
        lab.director.lvsadm("-Sn"),
        lab.director.lvsadm("-Ln --stats --exact"),
    );
    lab.director.restart().unwrap();
    assert_eq!(lab.director.lvsadm("-Sn").unwrap(), saved.unwrap());
    assert_eq!(
        lab.director.lvsadm("-Ln --stats --exact").unwrap(),
        stats.unwrap()
    );
}

#[test]
fn maps_pinned_under_the_names_of_an_older_version_are_adopted_with_their_connections() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    for method in METHODS {
        lab.client
            .get_many(virtual_address(Ipv4, method), 6)
            .unwrap();
    }
    let ask = |line| lab.director.lvsadm(line).unwrap();
    let connections = || ask("-Lcn").lines().count();
    let before = (ask("-Sn"), ask("-Ln --stats --exact"), connections());
    assert!(before.2 > 6 * METHODS.len(), "{before:?}");
    lab.director.kill();
    let pin = |name| lab.director.pins().join(name);
    for (old, new) in RENAMED {
        fs::rename(pin(new), pin(old)).unwrap();
    }
    lab.director.start().unwrap();
    assert_eq!(
        (ask("-Sn"), ask("-Ln --stats --exact"), connections()),
        before
    );
    for (old, new) in RENAMED {
        assert!(!pin(old).exists() && pin(new).exists(), "{old}, {new}");
    }
    let address = virtual_address(Ipv4, Direct);
    assert_eq!(lab.client.get_many(address, 6).unwrap().len(), 6);
}

#[test]
fn a_terminated_daemon_leaves_the_data_plane_forwarding() {
    let lines = service(Protocol::Tcp, Ipv4, Direct, "rr");
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    lab.director.stop().unwrap();
    assert_eq!(
        lab.client
            .get_many(virtual_address(Ipv4, Direct), 6)
            .unwrap()
            .len(),
        6
    );
}

#[test]
fn detach_on_exit_detaches_the_data_plane() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    lab.director.stop().unwrap();
    lab.director.start_with(&["--detach-on-exit"]).unwrap();
    lab.director
        .restore(&service(Protocol::Tcp, Ipv4, Direct, "rr"))
        .unwrap();
    let address = virtual_address(Ipv4, Direct);
    assert_eq!(lab.client.get_many(address, 6).unwrap().len(), 6);
    lab.director.stop().unwrap();
    // Now it is the director's own stack that answers, and nothing listens there.
    assert!(lab.client.get(address).is_err());
}
