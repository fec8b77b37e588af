//! Devices upon others: a VXLAN, keepalived's macvlan device, the bridge that the program's interface is a port of.

use std::fmt::Write as _;

use lvs_tests::lab::addresses::{
    FAMILIES, METHODS, director_back, director_front, host_length, prefix_length, virtual_address,
};
use lvs_tests::lab::director::every_service;
use lvs_tests::lab::{Arms, Host, Lab, RealServer};

use super::serving::{expect_served, expect_status};

/// The director's own addresses, as lines that add them to a device or delete them.
fn own_addresses(verb: &str, device: &str) -> String {
    let mut lines = String::new();
    for family in FAMILIES {
        let length = prefix_length(family);
        for address in [director_front(family), director_back(family)] {
            writeln!(lines, "addr {verb} {address}/{length} dev {device}").unwrap();
        }
    }
    lines
}

/// The virtual addresses, likewise.
fn virtual_addresses(verb: &str, device: &str) -> String {
    let mut lines = String::new();
    for family in FAMILIES {
        for method in METHODS {
            let (address, length) = (virtual_address(family, method), host_length(family));
            writeln!(lines, "addr {verb} {address}/{length} dev {device}").unwrap();
        }
    }
    lines
}

#[test]
fn a_vxlan_device_forwards_by_every_method() {
    let Some(lab) = Lab::for_story(Arms::Container, "") else {
        return;
    };
    lab.director.kill();
    let (director, network) = (lab.director.namespace(), lab.namespace(Host::Network));
    let device = |local: u8, remote: u8, below: &str| {
        format!(
            "link set {below} mtu 1600\n\
             addr add 10.4.0.{local}/24 dev {below}\n\
             link add vxlan0 mtu 1500 type vxlan id 4 dstport 4789 local 10.4.0.{local} \
             remote 10.4.0.{remote} dev {below}\n\
             link set vxlan0 up\n"
        )
    };
    let below = own_addresses("del", "eth0") + &virtual_addresses("del", "eth0");
    let above = own_addresses("add", "vxlan0") + &virtual_addresses("add", "vxlan0");
    director
        .ip(&(below + &device(1, 2, "eth0") + &above))
        .unwrap();
    let wire = "director-eth0";
    let lines = format!("link set {wire} nomaster\n") + &device(2, 1, wire);
    network
        .ip(&(lines + "link set vxlan0 master bridge\n"))
        .unwrap();
    let file = lab.folder().join("vxlan.conf");
    std::fs::write(&file, every_service()).unwrap();
    lab.director
        .start_on(&["--interface", "vxlan0", "--config", &file.to_string_lossy()])
        .unwrap();
    expect_status(&lab, "tc (a vxlan device runs no XDP programs)");
    expect_served(&lab);
}

/// As keepalived makes it (`use_vmac`): the virtual addresses and their Ethernet address are the macvlan device's, the
/// director's own the interface's below.
#[test]
fn virtual_addresses_on_keepaliveds_macvlan_device_are_served_by_every_method() {
    let Some(lab) = Lab::for_story(Arms::Container, "") else {
        return;
    };
    lab.director.kill();
    let director = lab.director.namespace();
    let lines = virtual_addresses("del", "eth0")
        + "link add vrrp.51 link eth0 address 00:00:5e:00:01:33 type macvlan mode private\n\
           link set vrrp.51 up\n"
        + &virtual_addresses("add", "vrrp.51");
    director.ip(&lines).unwrap();
    director
        .sysctl(&[
            ("ipv4/conf/eth0/arp_ignore", "1"),
            ("ipv4/conf/eth0/rp_filter", "1"),
            ("ipv4/conf/vrrp.51/rp_filter", "0"),
            ("ipv4/conf/vrrp.51/accept_local", "1"),
        ])
        .unwrap();
    lab.director
        .start_configured_with(&every_service(), &["--interface", "vrrp.51"])
        .unwrap();
    expect_status(&lab, "tc (a macvlan device runs no XDP programs)");
    expect_served(&lab);
}

/// Routes name the bridge, and it is the bridge's setting that refuses sources.
#[test]
fn the_port_of_a_bridge_forwards_while_the_bridge_filters_by_reverse_paths() {
    let Some(lab) = Lab::for_story(Arms::Bridge, "") else {
        return;
    };
    lab.director.kill();
    let director = lab.director.namespace();
    director
        .sysctl(&[
            ("ipv4/conf/eth0/rp_filter", "1"),
            ("ipv4/conf/port/rp_filter", "1"),
        ])
        .unwrap();
    start_on_port(&lab);
    expect_served(&lab);
}

/// The kernel says of the bridge's frames that they are another host's, as long as they are the port's.
#[test]
fn the_port_of_a_bridge_with_another_ethernet_address_forwards() {
    let Some(lab) = Lab::for_story(Arms::Bridge, "") else {
        return;
    };
    lab.director.kill();
    let director = lab.director.namespace();
    director
        .ip("link set eth0 address 02:00:00:00:be:ef\n")
        .unwrap();
    let others = lab.servers.iter().map(RealServer::namespace);
    for namespace in others.chain([lab.client.namespace()]) {
        namespace.ip("neigh flush all\n").unwrap();
    }
    start_on_port(&lab);
    expect_served(&lab);
}

fn start_on_port(lab: &Lab) {
    let file = lab.folder().join("port.conf");
    std::fs::write(&file, every_service()).unwrap();
    let file = file.to_string_lossy();
    lab.director
        .start_on(&["--interface", "port", "--config", &file])
        .unwrap();
}
