//! Requests are balanced over the real servers by every method, family and protocol.

use std::fmt::Write as _;
use std::net::SocketAddr;

use lvs_api::model::Family::{Ipv4, Ipv6};
use lvs_api::model::Method::{Direct, Nat, Tunnel};
use lvs_api::model::{Family, Method, Protocol};
use lvs_tests::lab::addresses::{FAMILIES, METHODS, virtual_address};
use lvs_tests::lab::director::{every_service, server_name, service, service_name};
use lvs_tests::lab::{Arms, Lab};
use lvs_tests::pairs;

/// Asks as often as gives every server of a round robin two requests, and expects just that.
fn expect_all_servers_alike(lab: &Lab, family: Family, method: Method) {
    let address = virtual_address(family, method);
    let mut names = lab.client.get_many(address, 6).unwrap_or_else(|error| {
        panic!("{method:?} over {family:?}: {error:#}");
    });
    names.sort();
    let expected = [
        "server1", "server1", "server2", "server2", "server3", "server3",
    ];
    assert_eq!(names, expected, "{method:?} over {family:?}, TCP");

    let asked = SocketAddr::new(address, 80);
    let mut answers: Vec<_> = (0..6)
        .map(|_| {
            lab.client.ask(asked, "hello").unwrap_or_else(|error| {
                panic!("{method:?} over {family:?}: {error:#}");
            })
        })
        .collect();
    answers.sort();
    let expected = expected.map(|server| format!("{server} hello"));
    assert_eq!(answers, expected, "{method:?} over {family:?}, UDP");
}

#[test]
fn a_director_between_two_networks_forwards_by_every_method() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    for (family, method) in pairs(FAMILIES, METHODS) {
        expect_all_servers_alike(&lab, family, method);
    }
}

#[test]
fn a_director_with_one_interface_forwards_by_every_method() {
    let Some(lab) = Lab::for_story(Arms::One, &every_service()) else {
        return;
    };
    for (family, method) in pairs(FAMILIES, METHODS) {
        expect_all_servers_alike(&lab, family, method);
    }
}

#[test]
fn a_bridge_forwards_by_every_method_and_says_why_not_in_its_driver() {
    let Some(lab) = Lab::for_story(Arms::Bridge, &every_service()) else {
        return;
    };
    for (family, method) in pairs(FAMILIES, METHODS) {
        expect_all_servers_alike(&lab, family, method);
    }
    let status = lab.director.lvsadm("--status").unwrap();
    assert!(
        status.contains("tc (a bridge device runs no XDP programs)"),
        "{status}"
    );
}

#[test]
fn a_tunnel_carries_either_family_inside_the_other() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    for (service_family, server_family) in [(Ipv4, Ipv6), (Ipv6, Ipv4)] {
        let mut lines = String::new();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let service = service_name(protocol, service_family, Tunnel);
            let _ = writeln!(lines, "-A {service} -s rr");
            for number in 1..=Lab::SERVERS {
                let server = server_name(server_family, number);
                let _ = writeln!(lines, "-a {service} {server} -i");
            }
        }
        lab.director.restore(&lines).unwrap();
        expect_all_servers_alike(&lab, service_family, Tunnel);
    }
}

#[test]
fn nat_translates_the_port() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    for family in FAMILIES {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let service = service_name(protocol, family, Nat);
            lab.director.lvsadm(&format!("-A {service} -s rr")).unwrap();
            for server in &lab.servers {
                let server = SocketAddr::new(server.address(family), 8080);
                lab.director
                    .lvsadm(&format!("-a {service} -r {server} -m"))
                    .unwrap();
            }
        }
        expect_all_servers_alike(&lab, family, Nat);
    }
}

#[test]
fn a_fragmented_datagram_arrives_whole_and_is_answered() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    let text = "0123456789".repeat(500);
    for (family, method) in pairs(FAMILIES, METHODS) {
        let asked = SocketAddr::new(virtual_address(family, method), 80);
        // Through a tunnel the first one is answered by the director: fragments have to be
        // smaller. The client's kernel obeys, its application asks again.
        let answer = (0..3).find_map(|_| lab.client.ask(asked, &text).ok());
        let answer = answer.unwrap_or_else(|| panic!("{method:?} over {family:?}: no answer"));
        let (server, said) = answer.split_once(' ').unwrap();
        assert!(
            server.starts_with("server"),
            "{method:?} over {family:?}: {server}"
        );
        assert!(
            said == text,
            "{method:?} over {family:?}: the datagram differs"
        );
    }
}

#[test]
fn an_edit_of_the_real_servers_takes_effect_at_once() {
    let Some(lab) = Lab::for_story(Arms::Two, &service(Protocol::Tcp, Ipv4, Direct, "rr")) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let name = service_name(Protocol::Tcp, Ipv4, Direct);
    lab.director
        .lvsadm(&format!("-d {name} {}", server_name(Ipv4, 2)))
        .unwrap();
    let names = lab.client.get_many(address, 12).unwrap();
    assert!(!names.contains(&"server2".to_owned()), "{names:?}");
    lab.director
        .lvsadm(&format!("-a {name} {} -g", server_name(Ipv4, 2)))
        .unwrap();
    let names = lab.client.get_many(address, 12).unwrap();
    assert!(names.contains(&"server2".to_owned()), "{names:?}");
}
