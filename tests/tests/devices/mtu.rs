//! Frames of up to 9000 bytes.

use std::process::Stdio;

use lvs_tests::lab::director::every_service;
use lvs_tests::lab::{Arms, Host, Lab, RealServer, available};

use super::serving::{becomes, expect_served, expect_status};

/// A lab whose machines all have an MTU of 9000. The other end of the director's wire would take frames from XDP.
fn jumbo() -> Option<Lab> {
    if !available() {
        return None;
    }
    let mut lab = Lab::new(Arms::One).unwrap_or_else(|error| panic!("{error:#}"));
    // An XDP program limits the MTU of both ends.
    lab.stop_receiving();
    let network = lab.namespace(Host::Network);
    for port in ["client", "server1", "server2", "server3", "director-eth0"] {
        network.ip(&format!("link set {port} mtu 9000\n")).unwrap();
    }
    network
        .run("ethtool", &["-K", "director-eth0", "gro", "on", "tx", "on"])
        .unwrap();
    network.ip("link set bridge mtu 9000\n").unwrap();
    let servers = lab.servers.iter().map(RealServer::namespace);
    for host in servers.chain([lab.client.namespace(), lab.director.namespace()]) {
        host.ip("link set eth0 mtu 9000\n").unwrap();
    }
    Some(lab)
}

#[test]
fn a_driver_that_refuses_the_mtu_leaves_the_interface_to_tc_and_is_said_to() {
    let Some(lab) = jumbo() else { return };
    lab.director.start_configured(&every_service()).unwrap();
    expect_status(
        &lab,
        "tc (its driver refuses the XDP program: Numerical result out of range (os error 34); the MTU \
         of its other end is too large, XDP takes up to about 3498)",
    );
    expect_served(&lab);
    // With one that fits the driver is asked again.
    let network = lab.namespace(Host::Network);
    network.ip("link set director-eth0 mtu 1500\n").unwrap();
    let director = lab.director.namespace();
    director.ip("link set eth0 mtu 1500\n").unwrap();
    becomes(&lab, "native (its driver runs XDP programs)");
}

#[test]
fn a_mode_that_the_mtu_forbids_is_refused_with_the_reason() {
    let Some(lab) = jumbo() else { return };
    let mut command = lab.director.command(&["--mode", "xdp"]);
    command.stdin(Stdio::null());
    let output = lab.director.namespace().output(&mut command).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    let expected =
        "the MTU of its other end is too large, XDP takes up to about 3498; use auto or tc";
    assert!(said.contains(expected), "{said}");
}
