use std::sync::Arc;

use super::*;
use crate::neighbour::tables::{Address, Vlan};

const PORT: u32 = 3;
const TAGGED: u32 = 4;
const OURS: Mac = [2, 0, 0, 0, 0, 1];
const THEIRS: Mac = [2, 0, 0, 0, 0, 2];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn interface(name: &str) -> Interface {
    Interface::example(name, "")
}

fn address(text: &str) -> Address {
    Address {
        ip: ip(text),
        global: true,
        preferred: true,
        host: false,
    }
}

fn key(interface: u32, text: &str) -> NeighbourKey {
    NeighbourKey {
        interface,
        address: ip(text),
    }
}

fn tables() -> Tables {
    let mut vlan = interface("eth0.7");
    vlan.vlan = Some(Vlan {
        lower: Some(PORT),
        id: 7,
        customer: true,
    });
    vlan.mtu = 1400;
    Tables {
        interfaces: [(PORT, interface("eth0")), (TAGGED, vlan)].into(),
        senders: Arc::new([PORT].into()),
        addresses: [(PORT, vec![address("10.0.0.1"), address("fd00::1")])].into(),
        neighbours: [
            (key(PORT, "10.0.0.2"), Neighbour::Known(THEIRS)),
            (key(PORT, "fe80::2"), Neighbour::Known(THEIRS)),
            (key(TAGGED, "10.7.0.2"), Neighbour::Known(THEIRS)),
        ]
        .into(),
    }
}

fn by(interface: u32) -> Route {
    Route::Unicast {
        interface,
        gateway: None,
        source: None,
        mtu: None,
    }
}

fn hop(tables: &Tables, address: &str, route: &Route) -> NextHop {
    match tables.resolve(ip(address), route) {
        Resolution::Resolved(hop) => hop,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn unresolved(tables: &Tables, address: &str, route: &Route, why: &str) {
    // Only who may still be asked is not known to be out of reach.
    let open = why.starts_with("waiting for") || why.starts_with("the kernel does not ask");
    let expected = if open {
        Resolution::Unresolved(why.into())
    } else {
        Resolution::Unreachable(why.into())
    };
    assert_eq!(tables.resolve(ip(address), route), expected);
}

#[test]
fn an_address_on_the_link_is_its_own_next_hop() {
    let expected = NextHop {
        destination: THEIRS,
        source: OURS,
        vlan: 0,
        mtu: 1500,
        interface: PORT,
        interface_name: "eth0".into(),
        device: PORT,
        xdp: true,
        ethernet: true,
        source4: Some([10, 0, 0, 1].into()),
        source6: Some("fd00::1".parse().unwrap()),
    };
    assert_eq!(hop(&tables(), "10.0.0.2", &by(PORT)), expected);
}

#[test]
fn the_routes_gateway_source_and_mtu_count() {
    let route = Route::Unicast {
        interface: PORT,
        gateway: Some(ip("fe80::2")),
        source: Some(ip("192.0.2.1")),
        mtu: Some(1280),
    };
    let hop = hop(&tables(), "198.51.100.1", &route);
    assert_eq!((hop.destination, hop.mtu), (THEIRS, 1280));
    assert_eq!(hop.source4, Some([192, 0, 2, 1].into()));
    assert_eq!(hop.source6, Some("fd00::1".parse().unwrap()));
}

#[test]
fn the_mtu_is_never_more_than_the_interfaces_nor_than_can_be_said() {
    let route = Route::Unicast {
        interface: PORT,
        gateway: None,
        source: None,
        mtu: Some(100_000),
    };
    let mut tables = tables();
    assert_eq!(hop(&tables, "10.0.0.2", &route).mtu, 1500);
    tables.interfaces.get_mut(&PORT).unwrap().mtu = 70_000;
    assert_eq!(hop(&tables, "10.0.0.2", &route).mtu, u16::MAX);
}

#[test]
fn a_vlan_device_is_the_interface_under_it_and_a_tag() {
    let hop = hop(&tables(), "10.7.0.2", &by(TAGGED));
    assert_eq!((hop.interface, hop.interface_name.as_str()), (PORT, "eth0"));
    assert_eq!((hop.vlan, hop.mtu), (7, 1400));
    assert_eq!((hop.device, hop.xdp), (TAGGED, true));
    // It has no address of its own, so Linux would take one of another interface.
    assert_eq!(hop.source4, Some([10, 0, 0, 1].into()));
}

#[test]
fn vlan_devices_that_one_tag_cannot_stand_for_are_left_to_the_kernel() {
    let (mut odd, mut stacked, mut elsewhere) = (tables(), tables(), tables());
    let vlan = |tables: &mut Tables| {
        tables
            .interfaces
            .get_mut(&TAGGED)
            .unwrap()
            .vlan
            .take()
            .unwrap()
    };
    let tag = vlan(&mut odd);
    let set = |tables: &mut Tables, index: u32, vlan| {
        tables.interfaces.get_mut(&index).unwrap().vlan = Some(vlan);
    };
    set(
        &mut odd,
        TAGGED,
        Vlan {
            customer: false,
            ..tag
        },
    );
    set(
        &mut stacked,
        PORT,
        Vlan {
            lower: Some(9),
            ..tag
        },
    );
    set(&mut elsewhere, TAGGED, Vlan { lower: None, ..tag });
    for tables in [odd, stacked, elsewhere] {
        let hop = hop(&tables, "10.7.0.2", &by(TAGGED));
        assert_eq!((hop.interface, hop.device), (TAGGED, TAGGED));
        assert_eq!((hop.vlan, hop.xdp), (0, false));
    }
}

#[test]
fn an_interface_that_does_not_run_is_no_way() {
    let mut tables = tables();
    unresolved(
        &tables,
        "10.0.0.2",
        &by(99),
        "there is no interface number 99",
    );
    tables.interfaces.get_mut(&PORT).unwrap().carrier = false;
    unresolved(
        &tables,
        "10.0.0.2",
        &by(PORT),
        "interface eth0 has no carrier",
    );
    unresolved(
        &tables,
        "10.7.0.2",
        &by(TAGGED),
        "interface eth0 has no carrier",
    );
    tables.interfaces.get_mut(&PORT).unwrap().up = false;
    unresolved(&tables, "10.0.0.2", &by(PORT), "interface eth0 is down");
    tables.interfaces.insert(
        PORT,
        Interface {
            mac: None,
            ..interface("lo")
        },
    );
    unresolved(
        &tables,
        "10.0.0.2",
        &by(PORT),
        "interface lo carries no Ethernet frames",
    );
    assert_eq!(tables.required_neighbour(ip("10.0.0.2"), &by(PORT)), None);
}

#[test]
fn where_packets_have_no_ethernet_header_no_neighbour_is_needed() {
    let mut tables = tables();
    let tun = Interface {
        mac: None,
        ethernet: false,
        ..interface("tun0")
    };
    tables.interfaces.insert(9, tun);
    let route = by(9);
    let hop = hop(&tables, "10.9.0.2", &route);
    assert_eq!((hop.device, hop.ethernet, hop.xdp), (9, false, false));
    assert_eq!((hop.destination, hop.source), ([0; 6], [0; 6]));
    assert_eq!(tables.required_neighbour(ip("10.9.0.2"), &route), None);
}

#[test]
fn a_neighbour_that_is_not_known_is_a_reason() {
    let mut tables = tables();
    let unknown = key(PORT, "10.0.0.3");
    let (route, text) = (by(PORT), "10.0.0.3");
    assert_eq!(tables.required_neighbour(ip(text), &route), Some(unknown));
    unresolved(
        &tables,
        text,
        &route,
        "waiting for 10.0.0.3 to answer on eth0",
    );
    tables.neighbours.insert(unknown, Neighbour::Incomplete);
    unresolved(
        &tables,
        text,
        &route,
        "waiting for 10.0.0.3 to answer on eth0",
    );
    tables.neighbours.insert(unknown, Neighbour::Failed);
    unresolved(&tables, text, &route, "10.0.0.3 does not answer on eth0");
    tables
        .neighbours
        .insert(unknown, Neighbour::Refused("too many".into()));
    let why = "the kernel does not ask for 10.0.0.3 on eth0: too many";
    unresolved(&tables, text, &route, why);
}

#[test]
fn where_nobody_is_asked_linux_has_its_own_addresses() {
    for (discovery, destination) in [(Discovery::Own, OURS), (Discovery::Broadcast, [0xff; 6])] {
        let mut tables = tables();
        tables.interfaces.get_mut(&PORT).unwrap().discovery = discovery;
        assert_eq!(hop(&tables, "10.0.0.3", &by(PORT)).destination, destination);
        assert_eq!(tables.required_neighbour(ip("10.0.0.3"), &by(PORT)), None);
        // What the operator wrote counts more.
        tables
            .neighbours
            .insert(key(PORT, "10.0.0.2"), Neighbour::Fixed(THEIRS));
        assert_eq!(hop(&tables, "10.0.0.2", &by(PORT)).destination, THEIRS);
    }
}

#[test]
fn a_source_is_global_and_preferred_and_if_possible_the_interfaces_own() {
    let mut tables = tables();
    let own = vec![
        Address {
            global: false,
            ..address("fe80::1")
        },
        Address {
            preferred: false,
            ..address("fd00::bad")
        },
        address("fd00::2"),
    ];
    tables.addresses.insert(PORT, own);
    tables
        .addresses
        .insert(1, vec![address("192.0.2.1"), address("2001:db8::1")]);
    let hop = hop(&tables, "10.0.0.2", &by(PORT));
    assert_eq!(hop.source6, Some("fd00::2".parse().unwrap()));
    assert_eq!(hop.source4, Some([192, 0, 2, 1].into()));
}

/// The kernel chooses among an interface's addresses the one most like the server's.
#[test]
fn a_virtual_address_is_no_source_while_the_interface_has_another() {
    let mut tables = tables();
    let host = |text| Address {
        host: true,
        ..address(text)
    };
    let with_source = |source| match by(PORT) {
        Route::Unicast {
            interface,
            gateway,
            mtu,
            ..
        } => Route::Unicast {
            interface,
            gateway,
            mtu,
            source: Some(ip(source)),
        },
        other => other,
    };
    let source = |tables: &Tables, named| hop(tables, "10.0.0.2", &with_source(named)).source6;
    tables.addresses.insert(PORT, vec![host("fd00::103")]);
    assert_eq!(
        source(&tables, "fd00::103"),
        Some("fd00::103".parse().unwrap())
    );
    let both = vec![host("fd00::103"), address("fd00::1")];
    tables.addresses.insert(PORT, both);
    assert_eq!(
        source(&tables, "fd00::103"),
        Some("fd00::1".parse().unwrap())
    );
    // One of another interface is the operator's choice.
    assert_eq!(
        source(&tables, "fd00:9::1"),
        Some("fd00:9::1".parse().unwrap())
    );
}

#[test]
fn own_addresses_and_missing_routes_need_no_neighbour() {
    let tables = tables();
    assert_eq!(
        tables.resolve(ip("10.0.0.1"), &Route::Local),
        Resolution::Local
    );
    unresolved(
        &tables,
        "10.9.9.9",
        &Route::None("nowhere".into()),
        "nowhere",
    );
    assert_eq!(
        tables.required_neighbour(ip("10.0.0.1"), &Route::Local),
        None
    );
}
