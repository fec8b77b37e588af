//! Tunnels by GUE and GRE: with and without checksums, in both families and one inside the other, as frames and as
//! socket buffers.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;

use lvs_api::model::Method::Tunnel;
use lvs_api::model::{Family, Protocol};
use lvs_tests::lab::addresses::{FAMILIES, virtual_address};
use lvs_tests::lab::director::{server_name, service_name};
use lvs_tests::lab::{Arms, Client, Lab};
use lvs_tests::pairs;

/// Options of tunnels, and how `--tun-info` names them.
const TUNNELS: [(&str, &str); 5] = [
    ("gue --tun-port 6080", "gue:6080:-c"),
    ("gue --tun-port 6080 --tun-csum", "gue:6080:+c"),
    ("gue --tun-port 6080 --tun-remcsum", "gue:6080:r+c"),
    ("gre", "gre:-c"),
    ("gre --tun-csum", "gre:+c"),
];

/// Commands for all real servers of a family behind the tunnels' services of another.
fn lines(command: &str, service_family: Family, server_family: Family, tunnel: &str) -> String {
    let mut lines = String::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let service = service_name(protocol, service_family, Tunnel);
        if command == "-a" {
            let _ = writeln!(lines, "-A {service} -s rr");
        }
        for number in 1..=Lab::SERVERS {
            let server = server_name(server_family, number);
            let _ = writeln!(lines, "{command} {service} {server} -i --tun-type {tunnel}");
        }
    }
    lines
}

/// Every server answers, over TCP and UDP.
fn expect_all(lab: &Lab, family: Family, what: &str) {
    let address = virtual_address(family, Tunnel);
    let mut names = lab
        .client
        .get_many(address, 3)
        .unwrap_or_else(|error| panic!("{what}, {family:?}: {error:#}"));
    names.sort();
    assert_eq!(
        names,
        ["server1", "server2", "server3"],
        "{what}, {family:?}"
    );
    let asked = SocketAddr::new(address, 80);
    let mut answers: Vec<_> = (0..3)
        .map(|_| {
            lab.client
                .ask(asked, "hello")
                .unwrap_or_else(|error| panic!("{what}, {family:?}: {error:#}"))
        })
        .collect();
    answers.sort();
    let expected = ["server1 hello", "server2 hello", "server3 hello"];
    assert_eq!(answers, expected, "{what}, {family:?}");
}

#[test]
fn gue_and_gre_carry_either_family_in_either() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    for (service_family, server_family) in pairs(FAMILIES, FAMILIES) {
        let ipip = lines("-a", service_family, server_family, "ipip");
        lab.director.restore(&ipip).unwrap();
        for (tunnel, _) in TUNNELS {
            // Edited while connections exist.
            let edits = lines("-e", service_family, server_family, tunnel);
            lab.director.restore(&edits).unwrap();
            expect_all(&lab, service_family, tunnel);
        }
        lab.director.lvsadm("-C").unwrap();
    }
}

#[test]
fn a_datagram_in_fragments_arrives_by_every_encapsulation() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    let text = "0123456789".repeat(400);
    for family in FAMILIES {
        lab.director
            .restore(&lines("-a", family, family, "ipip"))
            .unwrap();
        for (tunnel, _) in TUNNELS {
            let edits = lines("-e", family, family, tunnel);
            lab.director.restore(&edits).unwrap();
            let asked = SocketAddr::new(virtual_address(family, Tunnel), 80);
            // The first ones may be answered by the director: fragments have to be smaller. The client's kernel
            // obeys, its application asks again.
            let answer = (0..3).find_map(|_| lab.client.ask(asked, &text).ok());
            let answer = answer.unwrap_or_else(|| panic!("{tunnel}, {family:?}: no answer"));
            assert!(answer.ends_with(&text), "{tunnel}, {family:?}");
        }
    }
}

#[test]
fn large_transfers_arrive_whole_by_every_encapsulation() {
    transfers(Arms::Two);
}

/// There the director sees segments that are merged, larger than any frame.
#[test]
fn large_transfers_over_a_bridge_arrive_whole_by_every_encapsulation() {
    transfers(Arms::Bridge);
}

/// An upload needs the director to say how large packets may be, a download to carry acknowledgments. Each
/// encapsulation in one of the families.
fn transfers(arms: Arms) {
    let Some(lab) = Lab::for_story(arms, "") else {
        return;
    };
    let original = fs::read(lab.large_file()).unwrap();
    for family in FAMILIES {
        lab.director
            .restore(&lines("-a", family, family, "ipip"))
            .unwrap();
        let address = virtual_address(family, Tunnel);
        for (tunnel, _) in TUNNELS
            .iter()
            .skip(usize::from(family == Family::Ipv6))
            .step_by(2)
        {
            let edits = lines("-e", family, family, tunnel);
            lab.director.restore(&edits).unwrap();
            let file = lab
                .client
                .download(&Client::url(address, "/large"), "downloaded")
                .unwrap_or_else(|error| panic!("{tunnel}, {family:?}: {error:#}"));
            assert!(fs::read(file).unwrap() == original, "{tunnel}, {family:?}");
            lab.client
                .upload(&lab.large_file(), &Client::url(address, "/upload/file"))
                .unwrap_or_else(|error| panic!("{tunnel}, {family:?}: {error:#}"));
            let files = lab
                .servers
                .iter()
                .map(|server| server.uploads().join("file"));
            let arrived: Vec<_> = files
                .clone()
                .filter_map(|file| fs::read(file).ok())
                .collect();
            assert_eq!(arrived.len(), 1, "{tunnel}, {family:?}");
            assert!(arrived[0] == original, "{tunnel}, {family:?}");
            for file in files {
                let _ = fs::remove_file(file);
            }
        }
    }
}

#[test]
fn an_encapsulation_outlives_the_daemon() {
    let mut added = String::from("-A -t 198.51.100.9:80 -s rr\n");
    for (number, (tunnel, _)) in TUNNELS.iter().enumerate() {
        let _ = writeln!(
            added,
            "-a -t 198.51.100.9:80 -r 10.99.0.{number}:80 -i --tun-type {tunnel}"
        );
    }
    let added = added.replace("10.99.0.0:", "10.99.0.9:");
    let Some(lab) = Lab::for_story(Arms::Two, &added) else {
        return;
    };
    let saved = lab.director.lvsadm("-Sn").unwrap();
    let listed = lab.director.lvsadm("-Ln --tun-info").unwrap();
    for (_, name) in TUNNELS {
        assert!(
            listed.contains(&format!("Tunnel  {name:<13} 1 ")),
            "{listed}"
        );
    }
    lab.director.restart().unwrap();
    assert_eq!(lab.director.lvsadm("-Sn").unwrap(), saved);
    assert_eq!(lab.director.lvsadm("-Ln --tun-info").unwrap(), listed);
    for line in [
        "-a -t 198.51.100.9:80 -r 10.99.0.50:80 -i --tun-type gue --tun-port 0",
        "-a -t 198.51.100.9:80 -r 10.99.0.50:80 -i --tun-type gre --tun-remcsum",
    ] {
        assert!(
            !lab.director.try_lvsadm(line).unwrap().status.success(),
            "{line}"
        );
    }
}
