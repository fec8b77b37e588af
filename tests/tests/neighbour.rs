//! Real servers' MAC addresses are followed as they change, and who cannot be reached is said so.

use std::time::{Duration, Instant};

use lvs_api::model::Family::{Ipv4, Ipv6};
use lvs_api::model::Method::{Direct, Nat};
use lvs_api::model::Protocol::Tcp;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{FAMILIES, virtual_address};
use lvs_tests::lab::director::{every_service, service_name};
use lvs_tests::lab::{Arms, Lab};

#[test]
fn a_changed_mac_address_of_a_real_server_is_followed() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    let server = lab.servers[0].namespace();
    // As hosts do that take over an address: they tell their neighbours.
    server
        .sysctl(&[
            ("ipv4/conf/eth0/arp_notify", "1"),
            ("ipv6/conf/eth0/ndisc_notify", "1"),
        ])
        .unwrap();
    server
        .ip("link set eth0 address 02:00:00:00:be:ef")
        .unwrap();
    for family in FAMILIES {
        let address = virtual_address(family, Direct);
        let whole = eventually(Duration::from_secs(20), || {
            let names = lab.client.get_many(address, 3);
            names.is_ok_and(|names| names.contains(&"server1".to_owned()))
        });
        assert!(
            whole,
            "server1 gets no requests at its new MAC address over {family:?}"
        );
    }
}

/// True if a client is told at once that there is no way.
fn refused_at_once(lab: &Lab, address: std::net::IpAddr) -> bool {
    let start = Instant::now();
    let failed = lab.client.get(address).is_err();
    failed && start.elapsed() < Duration::from_secs(2)
}

fn answered(lab: &Lab) -> u64 {
    let verdicts = lab.director.lvsadm("--verdicts -X").unwrap();
    let line = verdicts
        .lines()
        .find(|line| line.contains("answer-unreachable"))
        .unwrap();
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    numbers.next().unwrap()
}

#[test]
fn clients_of_a_server_that_cannot_be_reached_are_told_so() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    // Nobody answers for the first of each family, nothing leads to the second.
    for (family, silent, nowhere) in [
        (Ipv4, "10.2.0.77:80", "203.0.113.9:80"),
        (Ipv6, "[fd00:2::77]:80", "[2001:db8:99::9]:80"),
    ] {
        let address = virtual_address(family, Nat);
        let name = service_name(Tcp, family, Nat);
        lab.director.lvsadm(&format!("-A {name} -s rr")).unwrap();
        let before = answered(&lab);
        lab.director
            .lvsadm(&format!("-a {name} -r {nowhere} -m"))
            .unwrap();
        assert!(refused_at_once(&lab, address), "{nowhere}");
        assert!(answered(&lab) > before, "{nowhere}");
        lab.director
            .lvsadm(&format!("-d {name} -r {nowhere}"))
            .unwrap();
        lab.director
            .lvsadm(&format!("-a {name} -r {silent} -m"))
            .unwrap();
        // The kernel asks three times, a second apart.
        let told = eventually(Duration::from_secs(10), || refused_at_once(&lab, address));
        assert!(told, "{silent}");
        let status = lab.director.lvsadm("--status").unwrap();
        assert!(
            status.contains(silent.split_once(":80").unwrap().0.trim_matches(['[', ']'])),
            "{status}"
        );
    }
}
