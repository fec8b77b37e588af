//! Kinds of devices in the lab: bridges, macvlan devices, the veth devices of containers.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use aya::programs::{SchedClassifier, TcAttachType};
use lvs_api::model::{Family, Method};
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{FAMILIES, METHODS, virtual_address};
use lvs_tests::lab::director::every_service;
use lvs_tests::lab::{Arms, Client, Host, Lab, available};

use super::serving::{becomes, expect_all_served, expect_answers, expect_status};

/// Nothing is prepared: offloads are at their defaults, and no other end takes frames from XDP.
#[test]
fn a_container_with_one_veth_device_forwards_by_every_method() {
    let Some(lab) = Lab::for_story(Arms::Container, &every_service()) else {
        return;
    };
    expect_all_served(&lab);
    expect_status(&lab, "tc (a veth device whose other end takes no frames");
    let address = virtual_address(Family::Ipv4, Method::Nat);
    let original = fs::read(lab.large_file()).unwrap();
    for _ in 0..3 {
        let file = lab
            .client
            .download(&Client::url(address, "/large"), "downloaded")
            .unwrap();
        assert!(fs::read(file).unwrap() == original);
    }
}

#[test]
fn virtual_addresses_on_a_macvlan_device_are_served_by_every_method() {
    let Some(lab) = Lab::for_story(Arms::Macvlan, &every_service()) else {
        return;
    };
    expect_all_served(&lab);
    expect_status(&lab, "tc (a macvlan device runs no XDP programs)");
}

#[test]
fn real_servers_behind_a_bridge_of_the_director_get_all_packets() {
    let Some(lab) = behind_a_bridge(&[]) else {
        return;
    };
    expect_all_served(&lab);
    expect_status(
        &lab,
        "tc (a veth device, and inside takes no frames from XDP)",
    );
}

/// What leaves by the bridge is sent behind the driver, the rest in it.
#[test]
fn a_driver_and_a_bridge_share_the_work() {
    let Some(lab) = behind_a_bridge(&["--mode", "front=xdp"]) else {
        return;
    };
    expect_status(&lab, "native+tc (as wanted (--mode); TC beside it for what");
    expect_all_served(&lab);
}

#[test]
fn a_mode_that_an_interface_cannot_do_is_refused_with_the_reason() {
    let Some(lab) = Lab::for_story(Arms::Bridge, "") else {
        return;
    };
    lab.director.kill();
    let mut command = lab.director.command(&["--mode", "xdp"]);
    command.stdin(Stdio::null());
    let output = lab.director.namespace().output(&mut command).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("eth0 cannot do --mode xdp: a bridge device runs no XDP programs"),
        "{said}"
    );
}

/// Whoever holds a macvtap device gets all its packets.
#[test]
fn a_macvtap_device_is_refused_with_the_reason() {
    let Some(lab) = Lab::for_story(Arms::Bridge, "") else {
        return;
    };
    lab.director.kill();
    let director = lab.director.namespace();
    director
        .ip("link add guest0 link eth0 type macvtap mode bridge\nlink set guest0 up\n")
        .unwrap();
    let mut command = lab.director.command(&["--interface", "guest0"]);
    command.stdin(Stdio::null());
    let output = director.output(&mut command).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    let expected = "the program cannot run on guest0: the packets of a macvtap device are those of the program or guest \
                    that holds it; name eth0 instead";
    assert!(said.contains(expected), "{said}");
}

/// The other end of a veth device decides what can be sent there, and it may change at any time.
#[test]
fn the_place_of_the_program_follows_what_the_device_can_do() {
    let Some(mut lab) = Lab::for_story(Arms::One, &every_service()) else {
        return;
    };
    expect_status(&lab, "native (its driver runs XDP programs)");
    // What a daemon found attached goes as what it attached itself.
    lab.director.kill();
    lab.director.start().unwrap();
    lab.stop_receiving();
    becomes(&lab, "tc (a veth device");
    expect_answers(&lab);
    lab.receive().unwrap();
    becomes(&lab, "native (");
    expect_answers(&lab);
}

/// Waits for a sentence in the daemon's log.
#[track_caller]
fn logs(lab: &Lab, sentence: &str) {
    let said = || {
        let log = fs::read_to_string(lab.director.log()).unwrap();
        log.contains(sentence)
    };
    let said = eventually(Duration::from_secs(20), said);
    assert!(said, "{}", lab.director.log_tail());
}

/// Waits until two connections of a service are counted, and the packet of one of them.
#[track_caller]
fn one_of_two_left(counted: impl Fn() -> (u64, u64)) {
    let left = eventually(Duration::from_secs(20), || counted() == (2, 1));
    assert!(left, "{:?}", counted());
}

/// The kernel drops them after the program is over, and tells only those who ask.
#[test]
fn frames_that_a_device_did_not_send_are_counted_and_told() {
    let Some(mut lab) = Lab::for_story(Arms::One, &every_service()) else {
        return;
    };
    expect_status(&lab, "native (");
    // The daemon cannot react.
    let address = virtual_address(FAMILIES[0], METHODS[0]);
    lab.client.ask((address, 80).into(), "hello").unwrap();
    let before = verdict(&lab, "forward-direct");
    lab.director.freeze(true).unwrap();
    lab.stop_receiving();
    lab.client.ask((address, 80).into(), "hello").unwrap_err();
    lab.director.freeze(false).unwrap();
    logs(&lab, "WARN eth0 did not send");
    becomes(&lab, "but that the kernel did not send:\n  eth0");
    expect_status(&lab, "TC sends there since, nothing is to be done");
    assert_eq!(verdict(&lab, "not-sent"), 1);
    assert_eq!(verdict(&lab, "forward-direct"), before, "what was not sent");
    let counted = || in_packets(&lab, &format!("UDP  {address}:80"));
    one_of_two_left(counted);
    // What is taken off a verdict outlives the daemon.
    lab.director.kill();
    lab.director.start().unwrap();
    assert_eq!(verdict(&lab, "not-sent"), 1);
    assert_eq!(verdict(&lab, "forward-direct"), before);
    assert_eq!(counted(), (2, 1));
    expect_answers(&lab);
}

/// The same behind the driver: a queue that is too short for what the director hands it.
#[test]
fn packets_that_a_queue_dropped_are_counted_and_told() {
    let Some(lab) = Lab::for_story(Arms::Container, &every_service()) else {
        return;
    };
    expect_status(&lab, "tc (");
    let address = virtual_address(FAMILIES[0], METHODS[0]);
    lab.client.ask((address, 80).into(), "hello").unwrap();
    let before = verdict(&lab, "forward-direct");
    let director = lab.director.namespace();
    let tc = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        director.run("tc", &words).unwrap();
    };
    // The director itself sends ARP there, too; a datagram of 1,000 bytes never fits.
    tc("qdisc add dev eth0 root tbf rate 1mbit burst 1600 limit 1000");
    let long = "x".repeat(1_000);
    lab.client.ask((address, 80).into(), &long).unwrap_err();
    logs(
        &lab,
        "WARN eth0 did not send 1 frame that TC handed it: its queueing discipline",
    );
    becomes(&lab, "but that the kernel did not send:\n  eth0");
    expect_status(&lab, "tc -s qdisc show dev eth0");
    assert_eq!(verdict(&lab, "not-sent"), 1);
    assert_eq!(verdict(&lab, "forward-direct"), before, "what was not sent");
    one_of_two_left(|| in_packets(&lab, &format!("UDP  {address}:80")));
    tc("qdisc del dev eth0 root");
    expect_answers(&lab);
}

/// The kernel names no reason where a device or its other end refuses a packet; the device counts it.
#[test]
fn packets_that_the_other_end_refused_are_counted_too() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    lab.director.kill();
    lab.director
        .start_configured_with(&every_service(), &["--mode", "tc"])
        .unwrap();
    let address = virtual_address(FAMILIES[0], METHODS[0]);
    lab.client.ask((address, 80).into(), "hello").unwrap();
    let before = verdict(&lab, "forward-direct");
    let network = lab.namespace(Host::Network);
    network.ip("link set director-back mtu 600\n").unwrap();
    let long = "x".repeat(1_000);
    lab.client.ask((address, 80).into(), &long).unwrap_err();
    becomes(&lab, "its driver or its other end did not take them");
    assert_eq!(verdict(&lab, "not-sent"), 1);
    assert_eq!(verdict(&lab, "forward-direct"), before, "what was not sent");
    let counted = || in_packets(&lab, &format!("UDP  {address}:80"));
    assert!(
        eventually(Duration::from_secs(20), || counted() == (2, 1)),
        "{:?}",
        counted()
    );
}

/// The connections of a service and the packets to its servers, as lvsadm lists them; those of its servers add up to
/// the same.
fn in_packets(lab: &Lab, service: &str) -> (u64, u64) {
    let listing = lab.director.lvsadm("-Ln --stats --exact").unwrap();
    let mut lines = listing.lines().skip_while(|line| !line.contains(service));
    let numbers = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |at: usize| {
            words[at]
                .parse::<u64>()
                .unwrap_or_else(|_| panic!("{line}"))
        };
        (number(2), number(3))
    };
    let of_service = numbers(lines.next().unwrap_or_else(|| panic!("{listing}")));
    let of_servers = lines
        .take_while(|line| line.contains("->"))
        .map(numbers)
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!(of_service, of_servers, "{listing}");
    of_service
}

/// Packets that ended with this verdict, as lvsadm shows them.
fn verdict(lab: &Lab, name: &str) -> u64 {
    let shown = lab.director.lvsadm("--verdicts -X").unwrap();
    let row = shown.lines().find_map(|line| line.strip_prefix(name));
    let packets = row.and_then(|rest| rest.split_whitespace().next());
    packets
        .unwrap_or_else(|| panic!("{shown}"))
        .parse()
        .unwrap()
}

#[test]
fn the_program_behind_a_driver_outlives_the_daemon_and_goes_when_it_is_to() {
    let Some(lab) = Lab::for_story(Arms::Container, &every_service()) else {
        return;
    };
    lab.director.kill();
    expect_answers(&lab);
    lab.director.start().unwrap();
    expect_answers(&lab);
    assert_eq!(programs_behind(&lab), 1, "replaced, not added");
    lab.director.kill();
    lab.director.start_with(&["--detach-on-exit"]).unwrap();
    lab.director.stop().unwrap();
    assert_eq!(programs_behind(&lab), 0);
}

/// Nobody names an interface, as nobody does to IPVS.
#[test]
fn interfaces_are_found_by_the_routes_of_services_that_are_added_by_hand() {
    if !available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    lab.director.start_on(&[]).unwrap();
    expect_status(&lab, "none: no packet reaches the director");
    lab.director.restore(&every_service()).unwrap();
    becomes(&lab, "front ");
    becomes(&lab, "back ");
    expect_answers(&lab);
}

/// What was attached stays so, and is the same afterwards.
#[test]
fn an_interface_that_is_renamed_is_followed() {
    let Some(lab) = Lab::for_story(Arms::Container, &every_service()) else {
        return;
    };
    let director = lab.director.namespace();
    director.ip("link set eth0 name uplink\n").unwrap();
    becomes(&lab, "uplink          tc (");
    expect_answers(&lab);
    lab.director.kill();
    lab.director.start_on(&["--interface", "uplink"]).unwrap();
    expect_status(&lab, "uplink          tc (");
    expect_answers(&lab);
    let log = fs::read_to_string(lab.director.log()).unwrap();
    assert!(log.contains("eth0 is called uplink now"), "{log}");
    assert!(log.contains("replaced the program behind uplink"), "{log}");
}

#[test]
fn an_interface_that_was_renamed_keeps_its_mode_and_a_new_one_of_its_name_takes_its_place() {
    let Some(lab) = Lab::for_story(Arms::Container, "") else {
        return;
    };
    lab.director.kill();
    let director = lab.director.namespace();
    let make = || {
        director
            .ip("link add extra type veth peer name other\nlink set extra up\nlink set other up\n")
            .unwrap();
    };
    make();
    let options = "--interface eth0 --interface extra --mode extra=tc";
    let options: Vec<_> = options.split(' ').collect();
    lab.director.start_on(&options).unwrap();
    expect_status(&lab, "extra           tc (as wanted (--mode)");
    director.ip("link set extra name later\n").unwrap();
    becomes(&lab, "later           tc (as wanted (--mode)");
    director.ip("link del later\n").unwrap();
    becomes(&lab, "extra           none");
    make();
    becomes(&lab, "extra           tc (as wanted (--mode)");
}

#[test]
fn an_interface_that_is_made_anew_is_attached_to_again() {
    let Some(lab) = Lab::for_story(Arms::Macvlan, &every_service()) else {
        return;
    };
    expect_answers(&lab);
    lab.remake_macvlan().unwrap();
    assert!(
        eventually(Duration::from_secs(5), || programs_behind(&lab) == 1),
        "no program"
    );
    expect_answers(&lab);
}

/// A director whose real servers are behind a bridge that it is itself.
fn behind_a_bridge(options: &[&str]) -> Option<Lab> {
    let lab = Lab::for_story(Arms::Inside, "")?;
    lab.director.kill();
    lab.director
        .start_configured_with(&every_service(), options)
        .unwrap_or_else(|error| panic!("{error:#}"));
    Some(lab)
}

/// Programs behind the driver of the director's first interface.
fn programs_behind(lab: &Lab) -> usize {
    let interface = lab.director.interfaces()[0];
    let query = || SchedClassifier::query_tcx(interface, TcAttachType::Ingress);
    let found = lab.director.namespace().enter(query).unwrap();
    found.map_or(0, |(_, programs)| programs.len())
}
