//! Connections and downloads during failover, failback and handover: pauses, but no loss.

use std::fs;
use std::thread;
use std::time::Duration;

use lvs_api::model::{Family, Method};
use lvs_api::role::Role;
use lvs_tests::lab::addresses::{METHODS, virtual_address};
use lvs_tests::lab::client::Connections;
use lvs_tests::lab::director::every_service;
use lvs_tests::lab::traffic::{Datagrams, Idle};
use lvs_tests::lab::{Client, Pair};

const IDLE: usize = 200;

/// Serves clients of every kind while `change` moves the role, and wants none of them to lose anything.
fn serve_while(pair: &Pair, what: &str, change: impl FnOnce()) {
    let client = &pair.client;
    let namespace = client.namespace();
    let mut idle: Vec<_> = METHODS
        .into_iter()
        .map(|method| {
            let address = virtual_address(Family::Ipv4, method);
            Idle::open(namespace, address, IDLE.div_ceil(METHODS.len())).unwrap()
        })
        .collect();
    let mut downloads: Vec<_> = METHODS
        .into_iter()
        .map(|method| {
            let url = Client::url(virtual_address(Family::Ipv4, method), "/slow");
            let (file, curl) = client.start_download(&url, &format!("{method:?}")).unwrap();
            (method, file, curl)
        })
        .collect();
    let address = virtual_address(Family::Ipv4, Method::Direct);
    let datagrams: Vec<_> = METHODS
        .into_iter()
        .map(|method| {
            let address = virtual_address(Family::Ipv4, method);
            Datagrams::start(namespace, address, Duration::from_millis(10)).unwrap()
        })
        .collect();
    let load = thread::scope(|scope| {
        let load = scope.spawn(|| client.load(address, Connections::Kept, 4));
        thread::sleep(Duration::from_millis(1500));
        change();
        load.join().unwrap().unwrap()
    });

    let lost: Vec<_> = idle.iter_mut().flat_map(Idle::speak).collect();
    let original = fs::read(pair.large_file()).unwrap();
    for (method, file, curl) in &mut downloads {
        assert!(curl.wait().unwrap().success(), "{method:?}");
        // Not assert_eq: nobody wants to read megabytes.
        assert!(fs::read(file).unwrap() == original, "{method:?} differs");
    }
    let pauses: Vec<_> = datagrams.into_iter().map(Datagrams::stop).collect();
    println!(
        "{what}: {load:?}, {} connections lost, {pauses:?}",
        lost.len()
    );
    assert_eq!(lost, [""; 0]);
    assert_eq!(load.failed, 0, "of {} requests", load.requests);
    for pauses in &pauses {
        assert!(pauses.answered > 0);
        assert_eq!(pauses.elsewhere, 0, "the stream stays with its server");
    }
}

fn roles(pair: &Pair) -> [String; 2] {
    [1, 2].map(|number| pair.director(number).lvsadm("role").unwrap())
}

/// A pair of which the second knows all that the first does.
fn in_step() -> Option<Pair> {
    let pair = Pair::for_story()?;
    for (number, role) in [(1, Role::Master), (2, Role::Backup)] {
        pair.start_linked(number, role, &every_service()).unwrap();
    }
    pair.director(2).lvsadm("sync wait").unwrap();
    Some(pair)
}

#[test]
fn failover_after_a_crash_and_failback_lose_no_connection() {
    let Some(pair) = in_step() else {
        return;
    };
    let [one, two] = &pair.directors;
    serve_while(&pair, "crash", || {
        pair.crash(1).unwrap();
        two.lvsadm("role master").unwrap();
    });

    pair.boot(1).unwrap();
    pair.start_linked(1, Role::Backup, &every_service())
        .unwrap();
    serve_while(&pair, "failback", || {
        one.lvsadm("sync wait").unwrap();
        two.lvsadm("handover").unwrap();
    });
    assert_eq!(roles(&pair), ["master\n", "backup\n"]);
}

#[test]
fn a_handover_loses_no_connection() {
    let Some(pair) = in_step() else {
        return;
    };
    let [one, two] = &pair.directors;
    serve_while(&pair, "handover", || {
        one.lvsadm("handover").unwrap();
        assert_eq!(roles(&pair), ["backup\n", "master\n"]);
        two.lvsadm("handover").unwrap();
        assert_eq!(roles(&pair), ["master\n", "backup\n"]);
        one.lvsadm("handover").unwrap();
    });
    assert_eq!(roles(&pair), ["backup\n", "master\n"]);
}

/// With the kernel's own protocol, as an IPVS that is no peer would do it.
#[test]
fn failover_by_the_protocol_of_ipvs_loses_no_connection() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    pair.start(&every_service(), &[]).unwrap();
    let [one, two] = &pair.directors;
    one.lvsadm("--start-daemon master --mcast-interface sync")
        .unwrap();
    two.lvsadm("--start-daemon backup --mcast-interface sync")
        .unwrap();
    serve_while(&pair, "crash", || {
        pair.crash(1).unwrap();
        two.lvsadm("role master").unwrap();
    });
}
