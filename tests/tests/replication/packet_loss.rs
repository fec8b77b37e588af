//! Connection replication while packets or events are lost.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use lvs_api::model::{Family, Method};
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Missing, Namespace, find, skipped};

use super::world::{SHORT, World, connections, has_logged, lines, links, until};

/// Events that the data path's buffer has room for, and some more.
const EVENTS: u32 = 80_000;
/// Nobody listens there.
const DISCARD: u16 = 9;

/// One of twenty packets that arrive at a director from the other is dropped, or all arrive again.
fn lose(namespace: &Namespace, on: bool) {
    let action = if on { "-A" } else { "-D" };
    let rule = "INPUT -i sync -m statistic --mode random --probability 0.05 -j DROP";
    let rule: Vec<_> = [action].into_iter().chain(rule.split(' ')).collect();
    namespace.run("ip6tables", &rule).unwrap();
}

/// Packets that were dropped.
fn dropped(namespace: &Namespace) -> u64 {
    let mut list = Command::new("ip6tables");
    list.args(["-L", "INPUT", "-nvx"]);
    let output = namespace.output(&mut list).unwrap();
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let rule = listing.lines().find(|line| line.contains("DROP"));
    let count = rule.and_then(|rule| rule.split_whitespace().next());
    count.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn packet_loss_delays_replication_and_loses_no_connection() {
    let Some(world) = World::over(Family::Ipv6) else {
        return;
    };
    let tool = find("ip6tables").map(drop);
    if skipped(
        tool.ok_or_else(|| Missing("iptables is not installed: run `cargo xtask setup`".into())),
    ) {
        return;
    }
    let directors = [world.one().namespace(), world.two().namespace()];
    for director in directors {
        lose(director, true);
    }
    world.start_one(&lines());
    world.start_two(&lines());
    let mut streams = world.connect(&SHORT, 50);
    let took = world.agree(200);
    println!(
        "in spite of losses the tables agree after {} ms",
        took.as_millis()
    );

    // Some end and some begin, over and over, until enough was lost.
    until("packets are lost", || {
        streams.drain(..20);
        streams.extend(world.connect(&SHORT, 5));
        directors.iter().all(|director| dropped(director) >= 10)
    });
    // When the last of those that were closed have timed out nothing but losses makes a difference.
    world.agree(200);
    streams.extend(world.connect(&SHORT, 10));
    for director in directors {
        lose(director, false);
    }
    let took = world.agree(240);
    println!("and {} ms after the network is whole", took.as_millis());
    assert!(!has_logged(world.one(), "panicked") && !has_logged(world.two(), "panicked"));
}

#[test]
fn dropped_events_are_counted_and_the_next_scan_makes_up_for_them() {
    let Some(world) = World::new() else {
        return;
    };
    let to = SocketAddr::new(virtual_address(Family::Ipv4, Method::Direct), DISCARD);
    let real = SocketAddr::new(server(Family::Ipv4, 1), DISCARD);
    let lines = format!("{}-A -u {to} -s rr\n-a -u {to} -r {real} -g\n", lines());
    // Every packet is an event while a subscriber asks for repeats.
    world.start_one_with(&["--sync-threshold=0", "--sync-period=1"], &lines);
    let daemon = "--start-daemon master --mcast-interface sync";
    world.one().lvsadm(daemon).unwrap();
    world.start_two(&lines);
    world.two().lvsadm("sync wait --timeout 20s").unwrap();

    world.one().freeze(true).unwrap();
    let flood = || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for _ in 0..EVENTS {
            // The queue may be full for a moment.
            while socket.send_to(b"x", to).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    };
    world.pair.client.namespace().enter(flood).unwrap();
    let streams = world.connect(&SHORT, 10);
    world.one().freeze(false).unwrap();
    until("the loss is counted", || links(world.one()).lost_events > 0);
    let took = world.agree(streams.len() + 1);
    println!(
        "{} events are lost; the tables agree {} ms after that was reported",
        links(world.one()).lost_events,
        took.as_millis()
    );
    assert_eq!(connections(world.two()).len(), 41);
}
