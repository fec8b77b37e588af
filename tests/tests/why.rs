//! `lvsadm why`: the way that it tells is the one that the packet then takes, and telling it changes nothing.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use lvs_api::model::Family::{Ipv4, Ipv6};
use lvs_api::model::Method::{Direct, Nat, Tunnel};
use lvs_api::model::Protocol::{self, Tcp, Udp};
use lvs_api::why::Way;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{FAMILIES, client, server, virtual_address};
use lvs_tests::lab::director::{server_name, service, service_name};
use lvs_tests::lab::{Arms, Lab};
use lvs_tests::pairs;

/// The way of a packet.
fn why(lab: &Lab, line: &str) -> Way {
    let told = lab.director.lvsadm(&format!("why {line} --json")).unwrap();
    serde_json::from_str(&told).unwrap()
}

/// The way of a new connection of the client's.
fn way(lab: &Lab, protocol: Protocol, to: IpAddr) -> Way {
    let from = if to.is_ipv4() { Ipv4 } else { Ipv6 };
    let option = if protocol == Udp { "-u" } else { "-t" };
    let to = SocketAddr::new(to, 80);
    why(lab, &format!("{} {to} {option}", client(from)))
}

/// Packets by verdict, of those that a quiet network has none of.
fn verdicts(lab: &Lab) -> Vec<(String, u64)> {
    let told = lab.director.lvsadm("--verdicts").unwrap();
    let counts = told.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (first, second) = (words.next()?, words.next()?);
        let (count, name) = match (first.parse(), second.parse()) {
            (Ok(count), _) => (count, second),
            (_, Ok(count)) => (count, first),
            _ => return None,
        };
        Some((name.to_owned(), count))
    });
    let noise = [
        "pass-not-ip",
        "pass-not-ours",
        "pass-other-host",
        "pass-group-frame",
        "pass-icmp",
    ];
    counts
        .filter(|(name, _)| !noise.contains(&name.as_str()))
        .collect()
}

/// What a verdict counted so far.
fn verdict(lab: &Lab, name: &str) -> u64 {
    let counts = verdicts(lab);
    counts
        .iter()
        .find(|(found, _)| found == name)
        .map_or(0, |(_, count)| *count)
}

/// Tries to connect, with a single SYN.
fn connect(lab: &Lab, to: SocketAddr) -> Option<TcpStream> {
    let connect = || TcpStream::connect_timeout(&to, Duration::from_millis(300)).ok();
    lab.client.namespace().enter(connect).unwrap()
}

/// A word of the way's step.
fn step<'a>(way: &'a Way, name: &str) -> &'a str {
    let found = way.steps.iter().find(|step| step.name == name);
    found.map_or("", |step| step.text.as_str())
}

#[test]
fn the_way_that_is_told_is_the_one_that_is_taken() {
    let schedulers = ["rr", "rr", "wlc", "sh", "mh", "lblc"];
    let lines: String = pairs(FAMILIES, [Direct, Nat, Tunnel])
        .map(|(family, method)| {
            service(Tcp, family, method, "rr") + &service(Udp, family, method, "rr")
        })
        .collect();
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    for (family, method) in pairs(FAMILIES, [Direct, Nat, Tunnel]) {
        let address = virtual_address(family, method);
        // The first packets find the neighbours.
        lab.client.get(address).unwrap();
        for scheduler in schedulers {
            let name = service_name(Tcp, family, method);
            lab.director
                .lvsadm(&format!("-E {name} -s {scheduler}"))
                .unwrap();
            let told = way(&lab, Tcp, address);
            let counted = verdict(&lab, &told.verdict);
            let name = lab.client.get(address).unwrap();
            let number = (1..=Lab::SERVERS).find(|number| name.ends_with(&number.to_string()));
            let answered = server(family, number.expect("a server's name"));
            let context = format!("{scheduler} {method:?} {family:?}: {told:#?}");
            assert_eq!(
                told.server.map(|server| server.ip()),
                Some(answered),
                "{context}"
            );
            assert_eq!(told.method, Some(method), "{context}");
            assert!(verdict(&lab, &told.verdict) > counted, "{context}");
        }
        let told = way(&lab, Udp, address);
        let answer = lab
            .client
            .ask(SocketAddr::new(address, 80), "hello")
            .unwrap();
        let number =
            (1..=Lab::SERVERS).find(|number| answer.trim().contains(&format!("server{number}")));
        let answered = number.map(|number| server(family, number));
        assert_eq!(
            told.server.map(|server| server.ip()),
            answered,
            "{answer}: {told:#?}"
        );
    }
}

#[test]
fn telling_a_way_changes_neither_counters_nor_connections() {
    let lines = service(Tcp, Ipv4, Direct, "rr -p 300") + &service(Tcp, Ipv4, Nat, "rr");
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    for method in [Direct, Nat] {
        lab.client.get(virtual_address(Ipv4, method)).unwrap();
    }
    let filter = SocketAddr::new(virtual_address(Ipv4, Nat), 80);
    let limit = "--new-per-second 3 --open 2";
    lab.director
        .lvsadm(&format!("filter set {filter} {limit}"))
        .unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    let look = || {
        let stats = lab.director.lvsadm("-Ln --stats").unwrap();
        let listed = lab.director.lvsadm("-Ln").unwrap();
        let filters = lab.director.lvsadm("filter show").unwrap();
        let count = lab.director.lvsadm("-Lcn").unwrap().lines().count();
        (stats, listed, filters, count, verdicts(&lab))
    };
    let before = look();
    let told: Vec<_> = (0..10)
        .flat_map(|_| [Direct, Nat].map(|method| way(&lab, Tcp, virtual_address(Ipv4, method))))
        .collect();
    assert_eq!(look(), before);
    // Neither a ticket was drawn nor a limit spent.
    for method in 0..2 {
        let same: Vec<_> = told.iter().skip(method).step_by(2).collect();
        assert!(
            same.iter()
                .all(|way| **way == *same[0] && way.server.is_some()),
            "{same:#?}"
        );
    }
    assert!(
        step(&told[0], "persistence").contains("a template leads to"),
        "{:#?}",
        told[0]
    );
    assert!(told[0].determined && !told[1].determined);
}

#[test]
fn what_is_refused_is_told_with_the_verdict_that_then_counts() {
    let lines = service(Tcp, Ipv4, Direct, "rr") + &service(Tcp, Ipv4, Nat, "rr");
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let to = SocketAddr::new(address, 80);
    let refused = |verdict_name: &str, to: SocketAddr| {
        let told = why(&lab, &format!("{} {to}", client(Ipv4)));
        assert_eq!(told.verdict, verdict_name, "{told:#?}");
        let counted = verdict(&lab, verdict_name);
        assert!(connect(&lab, to).is_none(), "{told:#?}");
        assert!(verdict(&lab, verdict_name) > counted, "{told:#?}");
        told
    };
    let told = refused("pass-no-service", SocketAddr::new(address, 81));
    assert!(
        step(&told, "service").contains("there are tcp 10.1.0.101:80"),
        "{told:#?}"
    );
    lab.director
        .lvsadm(&format!("filter set {to} --deny 10.1.0.0/24"))
        .unwrap();
    refused("drop-denied", to);
    lab.director.lvsadm(&format!("filter clear {to}")).unwrap();
    for number in 1..=Lab::SERVERS {
        let (service, server) = (service_name(Tcp, Ipv4, Direct), server_name(Ipv4, number));
        lab.director
            .lvsadm(&format!("-e {service} {server} -g -w 0"))
            .unwrap();
    }
    let told = refused("answer-no-server", to);
    assert!(
        step(&told, "scheduler").contains("has weight 0"),
        "{told:#?}"
    );
    // Nobody is there.
    let nat = SocketAddr::new(virtual_address(Ipv4, Nat), 80);
    let service = service_name(Tcp, Ipv4, Nat);
    lab.director.lvsadm(&format!("-D {service}")).unwrap();
    lab.director.lvsadm(&format!("-A {service} -s rr")).unwrap();
    lab.director
        .lvsadm(&format!("-a {service} -r 10.2.0.99:80 -m"))
        .unwrap();
    let unreachable = eventually(Duration::from_secs(10), || {
        why(&lab, &format!("{} {nat}", client(Ipv4))).verdict == "answer-unreachable"
    });
    assert!(unreachable, "the real server is not there");
    let told = refused("answer-unreachable", nat);
    assert!(
        step(&told, "next hop").contains("10.2.0.99 cannot be reached"),
        "{told:#?}"
    );
}

#[test]
fn a_packet_of_a_known_connection_is_told_its_state() {
    let lines = service(Tcp, Ipv4, Nat, "rr");
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    let to = SocketAddr::new(virtual_address(Ipv4, Nat), 80);
    let stream = connect(&lab, to).expect("a connection");
    let from = stream.local_addr().unwrap();
    // Not the next one in turn: the one that the connection has.
    let entry = lab.director.lvsadm("-Lcn").unwrap();
    let line = entry
        .lines()
        .find(|line| line.contains(&from.to_string()))
        .unwrap();
    let told = why(&lab, &format!("{from} {to}"));
    assert_eq!(told.packet, "TCP ACK");
    assert!(
        line.ends_with(&told.server.unwrap().to_string()),
        "{line}: {told:#?}"
    );
    assert!(
        step(&told, "connection").starts_with("known: ESTABLISHED with"),
        "{told:#?}"
    );
    assert!(
        told.determined && told.verdict == "forward-nat",
        "{told:#?}"
    );
    let told = lab.director.lvsadm(&format!("why {from} {to}")).unwrap();
    assert!(
        told.lines().last().unwrap().starts_with("forward-nat: "),
        "{told}"
    );
}

#[test]
fn a_question_without_an_answer_is_refused_with_what_to_do() {
    let lines = service(Tcp, Ipv4, Nat, "rr") + &service(Udp, Ipv4, Nat, "rr");
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    for (line, code, message) in [
        (
            "10.1.0.10 [fd00:1::102]:80",
            255,
            "one is IPv4, the other IPv6",
        ),
        (
            "10.1.0.10 10.1.0.102:80 --interface lo",
            255,
            "the program does not run on lo",
        ),
        (
            "203.0.113.9 10.1.0.102:80",
            255,
            "no route leads to 203.0.113.9",
        ),
        ("203.0.113.9 10.1.0.102:80 --interface front", 0, ""),
        (
            "10.1.0.10 10.1.0.99",
            255,
            "10.1.0.99 has no TCP service with a port of its own",
        ),
        (
            "10.1.0.10 udp:10.1.0.102:80 -t",
            2,
            "is a service of UDP, and the option says TCP",
        ),
        ("10.1.0.10 10.1.0.102", 0, ""),
        ("10.1.0 10.1.0.102:80", 2, "`10.1.0' is no address"),
    ] {
        let output = lab.director.try_lvsadm(&format!("why {line}")).unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {error}");
        assert!(error.contains(message), "{line}: {error}");
    }
}

#[test]
fn the_only_server_that_can_be_chosen_is_told_with_the_ground() {
    let Some(lab) = Lab::for_story(Arms::Two, &service(Tcp, Ipv4, Direct, "rr")) else {
        return;
    };
    let (to, service) = (
        virtual_address(Ipv4, Direct),
        service_name(Tcp, Ipv4, Direct),
    );
    for number in 2..=Lab::SERVERS {
        let server = server_name(Ipv4, number);
        lab.director
            .lvsadm(&format!("-e {service} {server} -g -w 0"))
            .unwrap();
    }
    let told = way(&lab, Tcp, to);
    let text = step(&told, "scheduler");
    let first = SocketAddr::new(server(Ipv4, 1), 80);
    let second = SocketAddr::new(server(Ipv4, 2), 80);
    assert!(
        text.starts_with(&format!("rr chooses {first}: "))
            && text.contains(&format!("{second} has weight 0")),
        "{told:#?}"
    );
    for number in 2..=Lab::SERVERS {
        let server = server_name(Ipv4, number);
        lab.director
            .lvsadm(&format!("-d {service} {server}"))
            .unwrap();
    }
    let told = way(&lab, Tcp, to);
    let expected = format!("rr chooses {first}, the only real server of the service");
    assert_eq!(step(&told, "scheduler"), expected, "{told:#?}");
}
