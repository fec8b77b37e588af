//! `lvsd --program-log`: the programs' own log, as lines of the daemon's log.

use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_api::model::Protocol::Tcp;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::virtual_address;
use lvs_tests::lab::director::service;
use lvs_tests::lab::{Arms, Lab, available};

/// Lines of the programs in the log.
fn lines(lab: &Lab) -> Vec<String> {
    let log = std::fs::read_to_string(lab.director.log()).unwrap_or_default();
    let of_programs = |line: &&str| {
        line.contains(": forward-") || line.contains(": drop-") || line.contains("further lines")
    };
    log.lines().filter(of_programs).map(str::to_owned).collect()
}

/// A director whose programs log at this level.
fn started(arms: Arms, level: &str) -> Lab {
    let lab = Lab::new(arms).unwrap();
    let lines = service(Tcp, Ipv4, Nat, "rr");
    lab.director
        .start_configured_with(&lines, &["--program-log", level])
        .unwrap();
    lab
}

/// Asks from an address that the service does not admit, so many times.
fn refused(lab: &Lab, times: u32) {
    let to = std::net::SocketAddr::new(virtual_address(Ipv4, Nat), 80);
    lab.director
        .lvsadm(&format!("filter set {to} --deny 10.1.0.0/24"))
        .unwrap();
    let connect = || {
        for _ in 0..times {
            let limit = Duration::from_millis(20);
            assert!(std::net::TcpStream::connect_timeout(&to, limit).is_err());
        }
    };
    lab.client.namespace().enter(connect).unwrap();
}

#[test]
fn refused_packets_are_logged_at_the_level_that_was_asked_for() {
    if !available() {
        return;
    }
    // In the driver, and behind it.
    for arms in [Arms::Two, Arms::Bridge] {
        let lab = started(arms, "info");
        refused(&lab, 1);
        let logged = || {
            lines(&lab)
                .iter()
                .any(|line| line.contains(": drop-denied: "))
        };
        assert!(
            eventually(Duration::from_secs(10), logged),
            "{arms:?}: {}",
            lab.director.log_tail()
        );
        // What is forwarded is none of that level's.
        let lines = lines(&lab);
        assert!(
            !lines.iter().any(|line| line.contains(": forward-")),
            "{lines:#?}"
        );
    }
}

#[test]
fn nothing_is_logged_unless_it_is_asked_for_and_a_flood_is_cut() {
    if !available() {
        return;
    }
    for level in ["off", "trace"] {
        let lab = started(Arms::Two, level);
        lab.client.get(virtual_address(Ipv4, Nat)).unwrap();
        let begun = std::time::Instant::now();
        refused(&lab, 300);
        let left_out = || {
            lines(&lab)
                .iter()
                .any(|line| line.contains("further lines"))
        };
        if level == "off" {
            std::thread::sleep(Duration::from_millis(500));
            assert_eq!(lines(&lab), Vec::<String>::new());
            continue;
        }
        assert!(
            eventually(Duration::from_secs(10), left_out),
            "{}",
            lab.director.log_tail()
        );
        // Some 40 a look.
        let seconds = begun.elapsed().as_secs() + 2;
        let lines = lines(&lab);
        assert!(
            lines.iter().any(|line| line.contains(": forward-nat: ")),
            "{lines:#?}"
        );
        assert!((lines.len() as u64) < seconds * 210, "{}", lines.len());
    }
}
