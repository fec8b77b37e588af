//! Peers that do not have the same virtual services, real servers and settings say so, and no handover loses a
//! connection for that.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use lvs_api::model::{Family, Method};
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Director, RealServer};

use super::world::{World, connections, has_logged, peer, until};

/// One service with so many real servers.
fn lines(servers: u8) -> String {
    let address = virtual_address(Family::Ipv4, Method::Direct);
    let service = format!("-t {address}:80");
    let mut lines = format!("-A {service} -s rr\n");
    for number in 1..=servers {
        let server = server(Family::Ipv4, number);
        let _ = writeln!(lines, "-a {service} -r {server}:80 -g -w 1");
    }
    lines
}

/// What a command that fails says, on both outputs.
#[track_caller]
fn fails(director: &Director, line: &str) -> String {
    let output = director.try_lvsadm(line).unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(!output.status.success(), "{line}: {said}");
    said
}

fn open(world: &World, count: usize) -> Vec<TcpStream> {
    let address = virtual_address(Family::Ipv4, Method::Direct);
    let address = SocketAddr::new(address, RealServer::PORT);
    let connect = || (0..count).map(|_| TcpStream::connect(address).unwrap());
    let namespace = world.pair.client.namespace();
    namespace.enter(|| connect().collect()).unwrap()
}

/// Asks over each connection; the number of answers.
fn answers(streams: &mut [TcpStream]) -> usize {
    let answer = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(super::world::PATIENCE)).ok()?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: www\r\n\r\n")
            .ok()?;
        let mut bytes = [0; 512];
        stream.read(&mut bytes).ok().filter(|length| *length > 0)
    };
    streams.iter_mut().filter_map(answer).count()
}

#[test]
fn a_real_server_that_the_backup_lacks_is_named_on_both_and_keeps_the_role_where_it_is() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines(2));
    world.start_two(&lines(1));
    let (one, two) = (world.one(), world.two());
    let mut streams = open(&world, 20);
    until("the backup lacks connections", || {
        let comparison = peer(one).comparison;
        comparison.is_some_and(|it| it.not_taken_there == 10 && !it.only_here.is_empty())
    });
    let server = server(Family::Ipv4, 2);
    let missing = format!("-r {server}:80 -g -w 1'");
    until("the backup says so", || {
        let said = two.lvsadm("sync status").unwrap();
        said.contains("only there: `-a") && said.contains("10 connections are there only")
    });
    for line in ["sync status", "status", "healthy"] {
        let (here, there) = (one.lvsadm(line).unwrap(), two.lvsadm(line).unwrap());
        let at_one = here.contains("only here: `-a") && here.contains(&missing);
        let at_two = there.contains("only there: `-a") && there.contains(&missing);
        assert!(at_one && at_two, "{line}: {here}\n{there}");
        assert!(here.contains("10 connections are here only"), "{here}");
    }
    for director in [one, two] {
        assert!(has_logged(director, &missing));
    }
    let said = fails(one, "sync wait --timeout 1s");
    assert!(
        said.contains("differs") && said.contains(&missing),
        "{said}"
    );
    let said = fails(one, "handover");
    assert!(
        said.contains(&missing) && said.contains("--force"),
        "{said}"
    );
    assert_eq!(one.lvsadm("role").unwrap(), "master\n");

    // With the server there nothing is lost.
    two.restore(lines(2).lines().last().unwrap()).unwrap();
    one.lvsadm("sync wait --timeout 20s").unwrap();
    one.lvsadm("handover --timeout 20s").unwrap();
    assert_eq!(connections(two), connections(one));
    assert_eq!(answers(&mut streams), streams.len());
    until("the log says that it is over", || {
        has_logged(one, "its configuration is this director's again")
    });
}

#[test]
fn the_peer_refuses_what_it_has_not_taken_and_force_hands_over_all_the_same() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines(2));
    world.start_two(&lines(2));
    let (one, two) = (world.one(), world.two());
    one.lvsadm("sync wait --timeout 20s").unwrap();
    // The backup loses a server a moment before: the master may not know yet.
    let address = virtual_address(Family::Ipv4, Method::Direct);
    let server = server(Family::Ipv4, 2);
    two.lvsadm(&format!("-d -t {address}:80 -r {server}:80"))
        .unwrap();
    let said = fails(one, "handover");
    assert!(said.contains("differs"), "{said}");
    one.lvsadm("handover --force").unwrap();
    assert_eq!(two.lvsadm("role").unwrap(), "master\n");
}

#[test]
fn weights_schedulers_and_timeouts_are_compared_too() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines(1));
    world.start_two(&lines(1));
    let (one, two) = (world.one(), world.two());
    one.lvsadm("sync wait --timeout 20s").unwrap();
    let address = virtual_address(Family::Ipv4, Method::Direct);
    let server = server(Family::Ipv4, 1);
    for (line, back) in [
        (
            format!("-e -t {address}:80 -r {server}:80 -g -w 7"),
            format!("-e -t {address}:80 -r {server}:80 -g -w 1"),
        ),
        (
            format!("-E -t {address}:80 -s wlc"),
            format!("-E -t {address}:80 -s rr"),
        ),
        ("--set 77 0 0".to_owned(), "--set 900 0 0".to_owned()),
        (
            "-A -u 192.0.2.1:53 -s rr".to_owned(),
            "-D -u 192.0.2.1:53".to_owned(),
        ),
    ] {
        two.lvsadm(&line).unwrap();
        until(&line, || peer(one).comparison.is_some_and(|it| it.differs));
        two.lvsadm(&back).unwrap();
        until(&back, || peer(one).comparison.is_some_and(|it| !it.differs));
    }
}

#[test]
fn a_one_sided_list_of_peers_is_told_on_both_sides() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines(1));
    // It dials nobody who answers.
    world.start_two_to("10.3.0.9", &[], &lines(1));
    let (one, two) = (world.one(), world.two());
    until("the first says that it is not dialed", || {
        let said = one.lvsadm("sync status").unwrap();
        said.contains("it does not dial this director")
    });
    until("the second says that it does not dial", || {
        let said = two.lvsadm("sync status").unwrap();
        said.contains("this director does not dial it") && said.contains("--peer 10.3.0.1")
    });
    for director in [one, two] {
        fails(director, "sync wait --timeout 1s");
        let said = director.lvsadm("status").unwrap();
        assert!(said.contains("not dial"), "{said}");
    }
    // Its answer would never come.
    let said = fails(one, "handover --timeout 2s");
    assert!(said.contains("does not dial this director"), "{said}");
    assert_eq!(one.lvsadm("role").unwrap(), "master\n");
    assert_eq!(two.lvsadm("role").unwrap(), "backup\n");
}
