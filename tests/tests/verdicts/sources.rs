//! Sources that the kernel would not let through to IPVS, by the routes of a real kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lvs_common::abi::Interface;
use lvs_common::verdict::Reason;
use lvs_dataplane::source_checks;
use lvs_tests::frames::Packet;
use lvs_tests::object::{INTERFACE, OTHER_INTERFACE, Object};
use lvs_tests::pairs;

use crate::world::{
    FAMILIES, Fate, METHODS, Method, PROTOCOLS, Protocol, address, check, forwarded, opening,
    request, virtual_address, world,
};

/// Sets what an interface refuses, and the other one does not.
fn set(object: &Object, interface: u32, flags: u32) {
    set_each(object, &[interface], flags);
}

/// Sets what these interfaces refuse.
fn set_each(object: &Object, interfaces: &[u32], flags: u32) {
    let maps = object.maps();
    let entry = |index| Interface {
        flags: Interface::SENDS_XDP | Interface::HAS_UPPER,
        lower: index,
        mac: [0; 6],
        vlan: 0.into(),
        mtu: 1_500,
        reserved: [0; 2],
        equal_cost: 0,
    };
    let links = BTreeMap::from([INTERFACE, OTHER_INTERFACE].map(|index| (index, entry(index))));
    maps.interfaces.write(&links).unwrap();
    let checks = interfaces.iter().map(|&interface| (interface, flags));
    maps.interfaces.write_checks(checks.collect()).unwrap();
    source_checks::publish_flags(maps);
}

fn from(source: IpAddr, family: u8, method: Method, protocol: Protocol) -> Packet {
    Packet {
        source,
        ..request(family, method, opening(protocol))
    }
}

#[test]
fn nobody_else_has_the_directors_own_addresses() {
    let Some(world) = world() else { return };
    let own = FAMILIES.map(|family| address(family, 9, 254));
    world.maps().own_hosts.write(&BTreeSet::from(own)).unwrap();
    for (family, method) in pairs(FAMILIES, METHODS) {
        let own = address(family, 9, 254);
        for (source, protocol) in pairs([own, virtual_address(family, method)], PROTOCOLS) {
            let packet = from(source, family, method, protocol);
            let sentence = format!("{protocol:?} from {source} by {method:?}");
            check(
                &world,
                &sentence,
                &packet.frame(),
                Reason::OwnSource,
                Fate::Drop,
            );
        }
        if method == Method::Direct {
            set(&world, INTERFACE, Interface::ACCEPT_LOCAL);
            let packet = from(own, family, method, Protocol::Tcp);
            let fate = Fate::tx(&forwarded(&packet, family, method));
            check(&world, "accepted", &packet.frame(), method.reason(), fate);
            set(&world, INTERFACE, 0);
        }
    }
    world.maps().own_hosts.write(&BTreeSet::new()).unwrap();
}

#[test]
fn a_reverse_path_is_asked_of_the_kernels_routes() {
    let Some(world) = world() else { return };
    let (unrouted, elsewhere) = ([198, 18, 0, 1].into(), [198, 19, 0, 1].into());
    let client = address(4, 1, 200);
    for (method, protocol) in pairs(METHODS, PROTOCOLS) {
        for (flags, source, refused) in [
            (Interface::RP_STRICT, client, false),
            (Interface::RP_LOOSE, client, false),
            (Interface::RP_STRICT, unrouted, true),
            (Interface::RP_LOOSE, unrouted, true),
            (Interface::RP_STRICT, elsewhere, true),
            (Interface::RP_LOOSE, elsewhere, false),
        ] {
            let packet = from(source, 4, method, protocol);
            let (reason, fate) = if refused {
                (Reason::RpFilter, Fate::Drop)
            } else {
                let sent = forwarded(&packet, 4, method);
                (method.reason(), Fate::tx(&sent))
            };
            for interfaces in [&[INTERFACE][..], &[INTERFACE, OTHER_INTERFACE]] {
                set_each(&world, interfaces, flags);
                let sentence =
                    format!("{protocol:?} from {source} by {method:?}, {flags} at {interfaces:?}");
                check(&world, &sentence, &packet.frame(), reason, fate.clone());
                set(&world, INTERFACE, 0);
            }
        }
        if method == Method::Nat {
            let packet = from(unrouted, 4, method, protocol);
            let reason = Reason::NoRouteToClient;
            check(&world, "no way back", &packet.frame(), reason, Fate::Drop);
        }
    }
}

#[test]
fn a_header_with_a_wrong_checksum_begins_nothing() {
    let Some(world) = world() else { return };
    for (method, protocol) in pairs(METHODS, PROTOCOLS) {
        for options in [vec![], vec![1, 1, 1, 0], vec![1; 40]] {
            let packet = Packet {
                options,
                ..request(4, method, opening(protocol))
            };
            let mut frame = packet.frame();
            frame[24] ^= 1;
            let sentence = format!("{protocol:?} by {method:?}");
            check(&world, &sentence, &frame, Reason::BadChecksum, Fate::Drop);
        }
    }
}

#[test]
fn frames_for_a_group_are_left_to_the_kernel() {
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        for (to, protocol) in pairs([[0xff; 6], [1, 0, 0x5e, 0, 0, 1]], PROTOCOLS) {
            let packet = Packet {
                to,
                ..request(family, method, opening(protocol))
            };
            let sentence = format!("{protocol:?} by {method:?}");
            check(
                &world,
                &sentence,
                &packet.frame(),
                Reason::GroupFrame,
                Fate::Pass,
            );
        }
    }
}
