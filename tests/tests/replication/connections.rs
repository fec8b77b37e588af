//! Connection replication between peers: all entries, joins, partitions, keys.

use std::collections::BTreeMap;
use std::process::Command;

use lvs_api::peers::PeerState;
use lvs_api::role::Role;
use lvs_tests::lab::addresses::METHODS;

use super::world::{
    SHORT, World, calls, connections, lines, lines_with_calls, listed, peer, refused, say, until,
};

#[test]
fn a_backup_has_the_connections_of_the_master_and_removes_them_with_it() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines());
    world.start_two(&lines());
    world.two().lvsadm("sync wait --timeout 20s").unwrap();
    let streams = world.connect(&METHODS, 20);
    // Six services; silent connections are replicated, too.
    world.agree(120);
    let left: BTreeMap<_, _> = listed(world.one()).into_iter().collect();
    for (connection, there) in listed(world.two()) {
        assert!(connection.contains("ESTABLISHED"), "{connection}");
        let here = left[&connection];
        assert!(
            (here - there).abs() < 20,
            "{connection}: {here} and {there}"
        );
    }
    let (sent, received) = (
        peer(world.one()).sent.unwrap(),
        peer(world.two()).received.unwrap(),
    );
    assert_eq!((sent.connections, received.connections), (120, 120));
    assert_eq!(received.discarded, []);
    assert_eq!(peer(world.two()).role, Some(Role::Master));
    let back = peer(world.one());
    assert_eq!(
        (back.role, back.state),
        (Some(Role::Backup), PeerState::InStep)
    );
    assert_eq!(
        back.received.unwrap().connections,
        0,
        "replicated connections are not sent back"
    );

    drop(streams);
    world.agree(40);
    until("both know what is left", || {
        peer(world.one()).sent.unwrap().connections == 40
            && peer(world.two()).received.unwrap().connections == 40
    });
}

#[test]
fn a_call_keeps_its_server_after_a_takeover() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines_with_calls());
    world.start_two(&lines_with_calls());
    world.two().lvsadm("sync wait --timeout 20s").unwrap();
    for call in 0..4 {
        say(&world, &format!("{call}@example.org"), 2);
    }
    until("both know the calls and their servers", || {
        let known = calls(world.two());
        known.len() == 4 && known == calls(world.one())
    });
    let before = calls(world.one());
    world.one().lvsadm("handover --timeout 20s").unwrap();
    for call in 0..4 {
        say(&world, &format!("{call}@example.org"), 1);
    }
    let came = || {
        let connections = connections(world.two());
        connections
            .iter()
            .filter(|line| line.starts_with("UDP UDP"))
            .count()
    };
    until("the messages came to the other one", || came() == 4);
    assert_eq!(calls(world.two()), before);
}

#[test]
fn a_director_that_joins_or_returns_receives_all_connections() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines());
    let mut streams = world.connect(&SHORT, 100);
    world.start_two(&lines());
    let waited = world.two().lvsadm("sync wait --timeout 20s").unwrap();
    assert!(
        waited.contains("in step with 1 of 1 peers, whose 400 connections"),
        "{waited}"
    );
    world.agree(400);

    // While nobody listens some end, and some are new.
    world.two().kill();
    streams.truncate(200);
    streams.extend(world.connect(&SHORT, 10));
    let ended = || connections(world.one()).len() == 240;
    until("connections end", ended);
    world.start_two(&lines());
    world.two().lvsadm("sync wait --timeout 20s").unwrap();
    // What it found in its tables and has ended meanwhile comes back to nobody.
    world.agree(240);

    // The other way round: a backup's connections come back to a master that lost all it had.
    world.pair.crash(1).unwrap();
    let held = connections(world.two());
    world.pair.boot(1).unwrap();
    world.start_one(&lines());
    world.one().lvsadm("sync wait --timeout 20s").unwrap();
    assert_eq!(connections(world.one()), held);
}

#[test]
fn connections_that_end_during_a_partition_are_removed_after_it() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines());
    world.start_two(&lines());
    let mut streams = world.connect(&SHORT, 30);
    world.agree(120);
    world.link(false);
    until("they miss each other", || {
        [world.one(), world.two()]
            .into_iter()
            .all(|director| peer(director).state == PeerState::Away)
    });
    let waited = world.two().try_lvsadm("sync wait --timeout 1").unwrap();
    assert_eq!(waited.status.code(), Some(1));
    let said = String::from_utf8_lossy(&waited.stdout).into_owned();
    assert!(
        said.contains("not in step after 1s: ") && said.contains(" is away ("),
        "{said}"
    );
    streams.truncate(60);
    until("connections end", || connections(world.one()).len() == 60);
    assert_eq!(connections(world.two()).len(), 120);
    streams.extend(world.connect(&SHORT, 5));
    until("and others begin", || connections(world.one()).len() == 80);
    world.link(true);
    let took = world.agree(80);
    println!(
        "the tables agree {} ms after the link is back",
        took.as_millis()
    );
}

#[test]
fn a_peer_with_another_key_is_refused_and_both_report_it() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines());
    world.start_two_with("the key of another story", &lines());
    let streams = world.connect(&SHORT, 2);
    until("both refuse", || {
        refused(world.one(), "key") > 2 && refused(world.two(), "key") > 2
    });
    assert_eq!(connections(world.one()).len(), streams.len());
    assert_eq!(connections(world.two()).len(), 0);
    let shown = world.one().lvsadm("sync status").unwrap();
    assert!(shown.contains("another key?"), "{shown}");
    assert!(shown.contains("(key): it has another key"), "{shown}");
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let Some(world) = World::new() else {
        return;
    };
    let key = world.pair.folder().join("open");
    std::fs::write(&key, "sixteen bytes or more").unwrap();
    let key = key.to_string_lossy();
    let mut command: Command = world
        .one()
        .command(&["--peer", "10.3.0.2", "--peer-key", &key]);
    let output = world.one().namespace().output(&mut command).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("others may read the key"), "{said}");
}
