//! Health checks by the service path among the director's other packets.

use std::mem::offset_of;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use lvs_common::abi::{Address, Config, ProbeKey, ProbeRoute};
use lvs_common::verdict::Reason;
use lvs_tests::frames::{Content, Packet};
use lvs_tests::object::{OTHER_INTERFACE, Object};

use crate::world::{FAMILIES, Fate, Method, PORT, SYN, address, check, virtual_address, world};

const PROBES: [u8; 6] = [2, 0, 0, 0, 9, 9];
const OWN_PORT: u16 = 60_000;

fn wide(address: IpAddr) -> Address {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes = address.octets(),
    }
    bytes
}

/// Switches the program's handling of probes on or off.
fn probing(world: &Object, on: u32) {
    let word = world.maps().config.word(0, offset_of!(Config, probing));
    word.unwrap().store(on, Ordering::Release);
}

/// A packet from the server, and the probe that it answers.
fn both_ways(protocol: u8, own: IpAddr, to: IpAddr) -> (Packet, Packet) {
    let content = |ports| match protocol {
        6 => Content::Tcp {
            ports,
            flags: SYN,
            data: Vec::new(),
        },
        _ => Content::Udp {
            ports,
            checksum: true,
            data: b"hello".to_vec(),
        },
    };
    (
        Packet::new(to, own, content([PORT, OWN_PORT])),
        Packet::new(own, to, content([OWN_PORT, PORT])),
    )
}

#[test]
fn answers_to_probes_reach_the_prober_and_probes_are_not_scheduled() {
    let Some(world) = world() else { return };
    for (family, protocol) in FAMILIES
        .into_iter()
        .flat_map(|family| [(family, 6), (family, 17)])
    {
        let (own, to) = (
            address(family, 2, 1),
            virtual_address(family, Method::Direct),
        );
        let key = ProbeKey {
            virtual_address: wide(to),
            own_address: wide(own),
            virtual_port: PORT.into(),
            own_port: OWN_PORT.into(),
            protocol,
            family,
            reserved: [0; 2],
        };
        let route = ProbeRoute {
            neighbour: [0; 16],
            tunnel_source: [0; 16],
            tunnel_destination: [0; 16],
            interface: 0,
            probe_interface: OTHER_INTERFACE,
            probe_mac: PROBES,
            neighbour_family: family,
            tunnel_family: 0,
        };
        let sentence = format!("protocol {protocol} over IPv{family}");
        let (answer, probe) = both_ways(protocol, own, to);
        let stray = || {
            check(
                &world,
                &sentence,
                &answer.frame(),
                Reason::NoConnection,
                Fate::Pass,
            );
        };

        stray();
        assert!(world.maps().probes.enter(key, route).unwrap());
        assert!(
            !world.maps().probes.enter(key, route).unwrap(),
            "entered once"
        );
        probing(&world, 1);
        let inside = Packet {
            to: PROBES,
            from: answer.to,
            ..answer.clone()
        };
        let handed_in = Fate::Redirect(inside.frame());
        check(&world, &sentence, &answer.frame(), Reason::Probe, handed_in);
        check(
            &world,
            &sentence,
            &probe.frame(),
            Reason::ProbeReturned,
            Fate::Drop,
        );
        world.maps().probes.forget(key);
        probing(&world, 0);
        stray();
    }
}
