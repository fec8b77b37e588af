//! Tun devices, whose packets have no Ethernet header, as a VPN in user space has them; tap devices, as the host of
//! virtual machines has them.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use lvs_api::model::Family;
use lvs_tests::lab::addresses::{
    FAMILIES, METHODS, client, host_length, prefix_length, virtual_address,
};
use lvs_tests::lab::director::{every_service, method_flag};
use lvs_tests::lab::tun::{Kind, Tunnel};
use lvs_tests::lab::{Arms, Host, Lab, RealServer};
use lvs_tests::pairs;

use super::serving::{expect_served, expect_status, expect_transfers};

/// The device at both ends.
const DEVICE: &str = "guest0";

/// What status says of the director's end.
const fn place(kind: Kind) -> &'static str {
    match kind {
        Kind::Tun => "tc (packets have no Ethernet header there, which XDP needs)",
        Kind::Tap => "native+tc (its driver runs XDP programs; TC beside it for what leaves by",
    }
}

/// The director's end of the tunnel (1), and the other one (2).
fn end(family: Family, host: u8) -> IpAddr {
    match family {
        Family::Ipv4 => [10, 8, 0, host].into(),
        Family::Ipv6 => [0xfd00, 8, 0, 0, 0, 0, 0, u16::from(host)].into(),
    }
}

/// The lines that give a host its end of the tunnel.
fn address_lines(host: u8) -> String {
    let mut lines = format!("link set {DEVICE} up\n");
    for family in FAMILIES {
        let length = prefix_length(family);
        let nodad = if family == Family::Ipv6 { " nodad" } else { "" };
        writeln!(
            lines,
            "addr add {}/{length} dev {DEVICE}{nodad}",
            end(family, host)
        )
        .unwrap();
    }
    lines
}

#[test]
fn clients_behind_a_tun_device_are_served_by_every_method() {
    clients_are_served(Kind::Tun);
}

#[test]
fn a_guest_on_a_tap_device_is_served_by_every_method() {
    clients_are_served(Kind::Tap);
}

#[test]
fn a_real_server_behind_a_tun_device_serves_by_every_method() {
    server_serves(Kind::Tun);
}

#[test]
fn a_guest_on_a_tap_device_serves_by_every_method() {
    server_serves(Kind::Tap);
}

fn clients_are_served(kind: Kind) {
    let Some(lab) = Lab::for_story(Arms::Container, "") else {
        return;
    };
    lab.director.kill();
    let (director, guest) = (lab.director.namespace(), lab.client.namespace());
    let _tunnel = Tunnel::between(kind, director, guest, DEVICE).unwrap();
    director.ip(&address_lines(1)).unwrap();
    let mut lines = address_lines(2);
    for (family, method) in pairs(FAMILIES, METHODS) {
        let (address, length) = (virtual_address(family, method), host_length(family));
        let gateway = end(family, 1);
        writeln!(
            lines,
            "route add {address}/{length} via {gateway} dev {DEVICE}"
        )
        .unwrap();
    }
    guest.ip(&lines).unwrap();
    // Real servers answer past the director, but for NAT.
    for family in FAMILIES {
        let (guest, length) = (end(family, 2), host_length(family));
        let line = format!("route add {guest}/{length} via {}\n", client(family));
        lab.namespace(Host::Network).ip(&line).unwrap();
    }
    lab.director
        .start_configured_with(&every_service(), &["--interface", DEVICE])
        .unwrap();
    expect_status(&lab, place(kind));
    expect_served(&lab);
}

fn server_serves(kind: Kind) {
    let Some(lab) = Lab::for_story(Arms::Container, "") else {
        return;
    };
    lab.director.kill();
    let (director, server) = (lab.director.namespace(), lab.servers[0].namespace());
    let _tunnel = Tunnel::between(kind, director, server, DEVICE).unwrap();
    director.ip(&address_lines(1)).unwrap();
    server.ip(&address_lines(2)).unwrap();
    let mut services = String::new();
    for family in FAMILIES {
        // What NAT sends here goes back through the tunnel.
        let back = format!(
            "route add default via {} dev {DEVICE} table 101\nrule add from {} table 101\n",
            end(family, 1),
            end(family, 2)
        );
        server.ip_family(family, &back).unwrap();
        for method in METHODS {
            let service = SocketAddr::new(virtual_address(family, method), RealServer::PORT);
            let real = SocketAddr::new(end(family, 2), RealServer::PORT);
            let flag = method_flag(method);
            writeln!(
                services,
                "-A -t {service} -s rr\n-a -t {service} -r {real} {flag}"
            )
            .unwrap();
        }
    }
    lab.director
        .start_configured_with(&services, &["--interface", DEVICE])
        .unwrap();
    expect_status(&lab, place(kind));
    for (family, method) in pairs(FAMILIES, METHODS) {
        let sentence = format!("{method:?} over {family:?}");
        expect_transfers(&lab, virtual_address(family, method), &sentence);
    }
}
