//! `lvsadm connections drop`, and the warning of a table that is filling.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use lvs_api::health::Event;
use lvs_api::model::Family;
use lvs_api::model::Method::{Direct, Nat};
use lvs_api::model::{Method, Protocol};
use lvs_tests::lab::addresses::{FAMILIES, server, virtual_address};
use lvs_tests::lab::director::service;
use lvs_tests::lab::{Arms, Lab, available};
use lvs_tests::{eventually, pairs};

/// Connections that stay open, so many to each service.
const EACH: usize = 3;

fn lab() -> Option<Lab> {
    let mut lines = String::new();
    for (family, method) in pairs(FAMILIES, [Direct, Nat]) {
        lines += &service(Protocol::Tcp, family, method, "rr");
    }
    Lab::for_story(Arms::Two, &lines)
}

fn open(lab: &Lab, family: Family, method: Method) -> Vec<TcpStream> {
    let address = SocketAddr::new(virtual_address(family, method), 80);
    let connect = || -> Vec<TcpStream> {
        (0..EACH)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect()
    };
    lab.client.namespace().enter(connect).unwrap()
}

fn open_all(lab: &Lab) -> Vec<TcpStream> {
    let all = pairs(FAMILIES, [Direct, Nat]);
    let streams: Vec<_> = all
        .flat_map(|(family, method)| open(lab, family, method))
        .collect();
    assert!(eventually(Duration::from_secs(5), || states(lab)
        .iter()
        .filter(|state| *state == "ESTABLISHED")
        .count()
        == streams.len()));
    streams
}

/// The states of all connections.
fn states(lab: &Lab) -> Vec<String> {
    let listing = lab.director.lvsadm("-Lcn").unwrap();
    let state = |line: &str| {
        line.split_whitespace()
            .nth(2)
            .unwrap_or_default()
            .to_owned()
    };
    listing.lines().skip(2).map(state).collect()
}

/// Entries of both tables, replies of NAT connections included, at the last sweep.
fn entries(lab: &Lab) -> u64 {
    let status = lab.director.lvsadm("--status").unwrap();
    let of = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let lines = status.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("IPv"))
        .filter_map(of)
        .sum()
}

#[track_caller]
fn drops(lab: &Lab, options: &str, connections: usize) {
    let said = lab
        .director
        .lvsadm(&format!("connections drop {options}"))
        .unwrap();
    let word = if connections == 1 { "" } else { "s" };
    let expected = if options.contains("--dry-run") {
        format!("{connections} connection{word} would be dropped\n")
    } else {
        format!("{connections} connection{word} dropped\n")
    };
    assert_eq!(said, expected, "{options}");
}

#[test]
fn connections_end_by_service_client_server_state_and_idle_time() {
    let Some(lab) = lab() else {
        return;
    };
    let mut streams = open_all(&lab);
    let all = streams.len();
    for (family, method) in pairs(FAMILIES, [Direct, Nat]) {
        let service = SocketAddr::new(virtual_address(family, method), 80);
        drops(&lab, &format!("--service tcp:{service} --dry-run"), EACH);
    }
    drops(&lab, "--client 0.0.0.0/0 --dry-run", all / 2);
    drops(&lab, "--client ::/0 --dry-run", all / 2);
    drops(&lab, "--client 203.0.113.0/24", 0);
    drops(&lab, "--state established --dry-run", all);
    drops(&lab, "--state time_wait", 0);
    drops(&lab, "--idle 1h", 0);
    // Each of the three real servers has one connection of each service.
    let first = server(Family::Ipv4, 1);
    drops(&lab, &format!("--server {first} --dry-run"), 2);
    assert_eq!(states(&lab).len(), all, "a dry run changes nothing");

    drops(&lab, &format!("--server {first}"), 2);
    assert_eq!(states(&lab).len(), all - 2);
    let service = SocketAddr::new(virtual_address(Family::Ipv6, Nat), 80);
    drops(&lab, &format!("--service {service}"), EACH);
    assert_eq!(states(&lab).len(), all - 2 - EACH);
    drops(&lab, "--all", all - 2 - EACH);
    assert_eq!(states(&lab).len(), 0);
    assert!(
        eventually(Duration::from_secs(5), || entries(&lab) == 0),
        "the entries of replies are left"
    );
    let listing = lab.director.lvsadm("-Ln").unwrap();
    let servers = listing
        .lines()
        .filter(|line| line.contains("  -> "))
        .skip(1);
    for line in servers {
        let columns: Vec<_> = line.split_whitespace().rev().take(2).collect();
        assert_eq!(columns, ["0", "0"], "{line}");
    }
    // What is dropped belongs to no connection: the client learns it with its next packet.
    for stream in &mut streams {
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let sent = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
        let answered = sent.and_then(|()| stream.read(&mut [0; 1]));
        assert!(answered.is_err(), "{answered:?}");
    }
    drop(streams);
    lab.client
        .get_many(virtual_address(Family::Ipv4, Nat), EACH)
        .unwrap();
}

#[test]
fn orders_that_cannot_be_meant_are_refused_with_the_reason() {
    let Some(lab) = lab() else {
        return;
    };
    let _streams = open(&lab, Family::Ipv4, Nat);
    for (options, code, reason) in [
        ("", 2, "--all"),
        ("--dry-run", 2, "--all"),
        ("--all --idle 1s", 2, "cannot be used with"),
        ("--client 10.0.0.1/8", 2, "10.0.0.0/8 is the network"),
        ("--state gone", 2, "established"),
        (
            "--service 203.0.113.9:80",
            255,
            "there is no virtual service",
        ),
        ("--server 203.0.113.9", 255, "such a real server"),
    ] {
        let line = format!("connections drop {options}");
        let output = lab.director.try_lvsadm(line.trim()).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{options}: {said}");
        assert!(said.contains(reason), "{options}: {said}");
    }
    assert_eq!(states(&lab).len(), EACH);
}

#[test]
fn a_table_that_is_filling_is_told_with_who_fills_it_and_when_it_is_over() {
    if !available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    let mut lines = service(Protocol::Udp, Family::Ipv4, Direct, "rr");
    lines += &service(Protocol::Tcp, Family::Ipv4, Nat, "rr");
    lab.director
        .start_configured_with(&lines, &["--table4", "4096"])
        .unwrap();
    let mut follower = Command::new(lab.director.lvsadm_program())
        .arg("--socket")
        .arg(lab.director.socket())
        .arg("events")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = || -> Event { serde_json::from_str(&events.next().unwrap().unwrap()).unwrap() };
    let virtual_address = SocketAddr::new(virtual_address(Family::Ipv4, Direct), 80);
    std::thread::sleep(Duration::from_millis(500));

    // Twice as many flows as there is room for, of two datagrams each.
    let flood = || {
        for port in 20_000..28_000 {
            let Ok(socket) = UdpSocket::bind(("0.0.0.0", port)) else {
                continue;
            };
            for _ in 0..2 {
                // The servers' refusals arrive as errors.
                drop(socket.send_to(b"?", virtual_address));
            }
        }
    };
    lab.client.namespace().enter(flood).unwrap();
    let event = next();
    assert_eq!(event.event, "table-filling", "{event:?}");
    let service = format!("udp {virtual_address}");
    assert!(event.text.contains(&service), "{event:?}");
    assert!(event.text.contains("most clients are in"), "{event:?}");
    let crowd = format!("{service} holds more than its share");
    let shown = || lab.director.lvsadm("--status").unwrap().contains(&crowd);
    assert!(eventually(Duration::from_secs(3), shown), "{crowd}");
    // Others are served.
    let beside = lvs_tests::lab::addresses::virtual_address(Family::Ipv4, Nat);
    lab.client.get_many(beside, 50).unwrap();

    lab.director
        .lvsadm(&format!("connections drop --service udp:{virtual_address}"))
        .unwrap();
    let event = next();
    assert_eq!(event.event, "table-relieved", "{event:?}");
    let log = std::fs::read_to_string(lab.director.log()).unwrap();
    assert!(log.contains("connection table is"), "{log}");
    follower.kill().unwrap();
    follower.wait().unwrap();
}
