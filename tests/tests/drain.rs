//! Real servers are added, quiesced and drained without a failed request.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Direct;
use lvs_api::model::Protocol;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{METHODS, virtual_address};
use lvs_tests::lab::client::{Connections, Load, download_source};
use lvs_tests::lab::director::{method_flag, server_name, service, service_name};
use lvs_tests::lab::{Arms, Client, Lab};

#[test]
fn a_quiesced_server_finishes_its_download_and_gets_no_new_connections() {
    for method in METHODS {
        let lines = service(Protocol::Tcp, Ipv4, method, "rr");
        let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
            return;
        };
        let address = virtual_address(Ipv4, method);
        let (file, mut curl) = lab
            .client
            .start_download(&Client::url(address, "/slow"), "download")
            .unwrap();
        assert!(eventually(Duration::from_secs(20), || download_source(
            &file
        )
        .is_some()));
        let source = download_source(&file).unwrap();
        let number = source.trim_start_matches("server").parse().unwrap();

        let (service, server) = (
            service_name(Protocol::Tcp, Ipv4, method),
            server_name(Ipv4, number),
        );
        lab.director
            .lvsadm(&format!(
                "-e {service} {server} {} -w 0",
                method_flag(method)
            ))
            .unwrap();
        let names = lab.client.get_many(address, 12).unwrap();
        assert!(
            !names.contains(&source),
            "{source} is quiesced, but answered: {names:?}"
        );
        assert!(
            curl.try_wait().unwrap().is_none(),
            "the download was too quick to be a test"
        );
        assert!(curl.wait().unwrap().success());
        let whole = fs::read(&file).unwrap() == fs::read(lab.large_file()).unwrap();
        assert!(whole, "{method:?}: the download differs");
    }
}

#[test]
fn a_server_is_added_and_drained_under_load_without_a_failed_request() {
    let lines = service(Protocol::Tcp, Ipv4, Direct, "rr");
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let service = service_name(Protocol::Tcp, Ipv4, Direct);
    let server = server_name(Ipv4, 3);
    let over = AtomicBool::new(false);
    let load = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut load = Load::default();
            while !over.load(Ordering::Relaxed) {
                load = load.and(lab.client.load(address, Connections::New, 1).unwrap());
            }
            load
        });
        for _ in 0..3 {
            lab.director
                .lvsadm(&format!("-e {service} {server} -g -w 0"))
                .unwrap();
            let drained = eventually(Duration::from_secs(20), || active(&lab, 3) == Some(0));
            assert!(drained, "server3 still has active connections");
            lab.director
                .lvsadm(&format!("-d {service} {server}"))
                .unwrap();
            thread::sleep(Duration::from_millis(300));
            lab.director
                .lvsadm(&format!("-a {service} {server} -g"))
                .unwrap();
            let used = eventually(Duration::from_secs(20), || active(&lab, 3) != Some(0));
            assert!(used, "server3 gets no connections after it was added");
        }
        over.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });
    assert_eq!(load.failed, 0, "{load:?}");
    assert!(load.requests > 1_000, "{load:?}");
}

/// Active connections of a real server, from `lvsadm -Ln`; `None`: it is not listed.
fn active(lab: &Lab, number: u8) -> Option<u64> {
    let listing = lab.director.lvsadm("-Ln").unwrap();
    let address = lab.servers[usize::from(number) - 1]
        .address(Ipv4)
        .to_string();
    let line = listing.lines().find(|line| line.contains(&address))?;
    line.split_whitespace().nth(4)?.parse().ok()
}
