//! Each forwarding method with each protocol and family, in both directions.

use lvs_api::model::{self, ServiceId};
use lvs_common::verdict::Reason;
use lvs_dataplane::address::narrow;
use lvs_tests::frames::{Content, Packet};
use lvs_tests::object::{INTERFACE, OTHER_INTERFACE, Object, hop, mac};
use lvs_tests::pairs;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::BUFFERS;
use crate::world::{
    ACK, FAMILIES, Fate, METHODS, Method, NAT_PORT, PORT, PROTOCOLS, Protocol, check, client,
    forwarded, onwards, opening, request, server, tunnelled, virtual_address, world,
};

#[test]
fn each_method_carries_each_protocol_of_each_family() {
    let Some(world) = world() else { return };
    for family in FAMILIES {
        for (method, protocol) in pairs(METHODS, PROTOCOLS) {
            let sentence = format!("{protocol:?} over IPv{family} by {method:?}");
            let packet = request(family, method, opening(protocol));
            let expected = forwarded(&packet, family, method);
            // The second packet finds its connection.
            for time in ["first", "second"] {
                check(
                    &world,
                    &format!("{sentence}, {time} packet"),
                    &packet.frame(),
                    method.reason(),
                    Fate::tx(&expected),
                );
            }
        }
    }
}

#[test]
fn a_reply_through_nat_comes_from_the_virtual_address_and_port() {
    let Some(world) = world() else { return };
    for (family, protocol) in pairs(FAMILIES, PROTOCOLS) {
        for tags in [vec![], vec![0x2005], vec![0x0064, 0x0007]] {
            let sentence = format!("a {protocol:?} reply over IPv{family} to VLANs {tags:?}");
            let packet = Packet {
                tags: tags.clone(),
                ..request(family, Method::Nat, opening(protocol))
            };
            let to_server = forwarded(&packet, family, Method::Nat);
            check(
                &world,
                &sentence,
                &packet.frame(),
                Reason::Nat,
                Fate::tx(&to_server),
            );
            let port = port(&packet);
            let answer = answer(&packet);
            let reply = Packet {
                from: mac(server(family, Method::Nat)),
                to: packet.to,
                ..Packet::new(
                    server(family, Method::Nat),
                    client(family),
                    answer.clone().with_ports([NAT_PORT, port]),
                )
            };
            let expected = Packet {
                to: packet.from,
                from: packet.to,
                source: virtual_address(family, Method::Nat),
                hops: 63,
                content: answer.with_ports([PORT, port]),
                ..reply.clone()
            };
            let fate = Fate::tx(&expected);
            check(&world, &sentence, &reply.frame(), Reason::NatReply, fate);
        }
    }
}

fn port(packet: &Packet) -> u16 {
    match &packet.content {
        Content::Tcp { ports, .. } | Content::Udp { ports, .. } | Content::Sctp { ports, .. } => {
            ports[0]
        }
        _ => 0,
    }
}

/// The answer of a server to the first packet of a connection.
fn answer(packet: &Packet) -> Content {
    match packet.content.clone() {
        Content::Tcp { ports, .. } => Content::Tcp {
            ports,
            flags: 0x12,
            data: b"hello".to_vec(),
        },
        Content::Sctp { ports, .. } => Content::Sctp {
            ports,
            chunk: 2,
            data: vec![9; 20],
        },
        other => other,
    }
}

#[test]
fn the_last_of_more_real_servers_than_16_bits_number_has_its_connections() {
    const OTHERS: u32 = 66_000;
    // Once is enough: it takes a while.
    if BUFFERS {
        return;
    }
    let address = |number: u32| Ipv4Addr::from_bits(0x0a40_0000 + number);
    let service = |number: u32| format!("10.9.1.{}:{PORT}", number / 1_000);
    let mut lines = String::new();
    for number in 0..=OTHERS {
        if number.is_multiple_of(1_000) {
            let _ = writeln!(lines, "-A -t {} -s lc", service(number));
        }
        let (service, server) = (service(number), address(number));
        let _ = writeln!(lines, "-a -t {service} -r {server}:{NAT_PORT} -m");
    }
    let Some(object) = Object::load_for_servers(64, 70_000, &lines) else {
        return;
    };
    let server = IpAddr::from(address(OTHERS));
    let found = object.maps().servers.read(OTHERS).unwrap();
    assert_eq!(narrow(&found.address, 4), server, "its index");

    let virtual_address = "10.9.1.66".parse().unwrap();
    let packet = Packet::new(client(4), virtual_address, opening(Protocol::Tcp));
    let port = port(&packet);
    let to_server = Packet {
        destination: server,
        content: packet.content.clone().with_ports([port, NAT_PORT]),
        ..onwards(&packet, server)
    };
    let reply = Packet {
        from: mac(server),
        to: packet.to,
        ..Packet::new(
            server,
            client(4),
            answer(&packet).with_ports([NAT_PORT, port]),
        )
    };
    let to_client = Packet {
        to: packet.from,
        from: packet.to,
        source: virtual_address,
        hops: 63,
        content: answer(&packet).with_ports([PORT, port]),
        ..reply.clone()
    };
    for (sentence, packet, reason, expected) in [
        ("a SYN", &packet, Reason::Nat, &to_server),
        ("its answer", &reply, Reason::NatReply, &to_client),
    ] {
        let fate = Fate::tx(expected);
        check(&object, sentence, &packet.frame(), reason, fate);
    }
    let services = object.services();
    for listed in &services {
        let own = listed.id.to_string().contains("10.9.1.66:");
        let packets = (listed.stats.in_packets, listed.stats.out_packets);
        assert_eq!(packets, if own { (1, 1) } else { (0, 0) }, "{}", listed.id);
        for server in &listed.servers {
            let packets = (server.stats.in_packets, server.stats.out_packets);
            let expected = if own { (1, 1, 1) } else { (0, 0, 0) };
            assert_eq!(
                (server.active, packets.0, packets.1),
                expected,
                "{}",
                server.id.0
            );
        }
    }
    assert_eq!(services.len(), 67);
}

#[test]
fn a_real_servers_packet_of_no_connection_passes_to_the_kernel() {
    let Some(world) = world() else { return };
    for family in FAMILIES {
        let source = server(family, Method::Nat);
        let packet = Packet::new(source, client(family), opening(Protocol::Udp));
        let sentence = "a packet from a NAT real server that nobody asked for";
        check(
            &world,
            sentence,
            &packet.frame(),
            Reason::NoConnection,
            Fate::Pass,
        );
    }
}

#[test]
fn a_udp_checksum_of_zero_stays_zero() {
    let Some(world) = world() else { return };
    for method in METHODS {
        let mut content = opening(Protocol::Udp);
        if let Content::Udp { checksum, .. } = &mut content {
            *checksum = false;
        }
        let packet = request(4, method, content);
        let fate = Fate::tx(&forwarded(&packet, 4, method));
        check(
            &world,
            "UDP without a checksum",
            &packet.frame(),
            method.reason(),
            fate,
        );
    }
}

#[test]
fn padding_is_not_part_of_the_packet() {
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        let packet = request(family, method, opening(Protocol::Tcp));
        let padding = [0xa5; 11];
        let padded = [packet.frame(), padding.to_vec()].concat();
        let expected = [forwarded(&packet, family, method).frame(), padding.to_vec()].concat();
        check(
            &world,
            "a frame with padding",
            &padded,
            method.reason(),
            Fate::Tx(expected),
        );
    }
}

#[test]
fn vlan_tags_follow_the_next_hop() {
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        let to = server(family, method);
        for tag in [0, 0x0042] {
            let mut way = hop(to);
            way.vlan = tag.into();
            world.resolve(to, way);
            for tags in [vec![], vec![0x0005], vec![0x0064, 0x0007]] {
                let packet = Packet {
                    tags: tags.clone(),
                    ..request(family, method, opening(Protocol::Udp))
                };
                let expected = Packet {
                    tags: [tag].into_iter().filter(|tag| *tag != 0).collect(),
                    ..forwarded(&packet, family, method)
                };
                let sentence = format!("{method:?}, IPv{family}: from VLANs {tags:?} to {tag}");
                if tag == 0 || !matches!(method, Method::Tunnel | Method::OtherTunnel) {
                    let fate = Fate::tx(&expected);
                    check(&world, &sentence, &packet.frame(), method.reason(), fate);
                }
            }
        }
        world.resolve(to, hop(to));
    }
}

#[test]
fn a_next_hop_on_another_interface_is_a_redirect() {
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        let to = server(family, method);
        let mut way = hop(to);
        way.interface = OTHER_INTERFACE;
        world.resolve(to, way);
        let packet = request(family, method, opening(Protocol::Tcp));
        let fate = Fate::Redirect(forwarded(&packet, family, method).frame());
        let sentence = "out of another interface";
        check(&world, sentence, &packet.frame(), method.reason(), fate);
        world.resolve(to, hop(to));
    }
    assert_ne!(INTERFACE, OTHER_INTERFACE);
}

#[test]
fn a_tunnel_copies_traffic_class_and_do_not_fragment() {
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, [Method::Tunnel, Method::OtherTunnel]) {
        for (class, outer) in [(0, 0), (0xb8, 0xb8), (1, 1), (2, 2), (0xbb, 0xba)] {
            let packet = Packet {
                class,
                dont_fragment: family == 4,
                ..request(family, method, opening(Protocol::Udp))
            };
            let to = server(family, method);
            let expected = Packet {
                class: outer,
                ..tunnelled(onwards(&packet, to), to)
            };
            let sentence = format!("class {class:#x} of IPv{family} by {method:?}");
            let fate = Fate::tx(&expected);
            check(&world, &sentence, &packet.frame(), Reason::Tunnel, fate);
        }
    }
}

#[test]
fn forwarded_packets_are_counted_for_service_and_real_server() {
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        let address = SocketAddr::new(virtual_address(family, method), PORT);
        let id = ServiceId::Address {
            protocol: model::Protocol::Tcp,
            address,
        };
        let service = || {
            let services = world.services();
            services.into_iter().find(|found| found.id == id).unwrap()
        };
        let before = service();
        let first = request(family, method, opening(Protocol::Tcp));
        let second = Packet {
            content: Content::Tcp {
                ports: [port(&first), PORT],
                flags: ACK,
                data: b"GET /".to_vec(),
            },
            ..first.clone()
        };
        for packet in [&first, &second] {
            let fate = Fate::tx(&forwarded(packet, family, method));
            check(&world, "counted", &packet.frame(), method.reason(), fate);
        }
        let after = service();
        let bytes = (first.ip().len() + second.ip().len()) as u64;
        for (before, after) in [
            (&before.stats, &after.stats),
            (&before.servers[0].stats, &after.servers[0].stats),
        ] {
            assert_eq!(after.connections - before.connections, 1);
            assert_eq!(after.in_packets - before.in_packets, 2);
            assert_eq!(after.in_bytes - before.in_bytes, bytes);
            assert_eq!(after.out_packets, before.out_packets);
        }
        let (before, after) = (&before.servers[0], &after.servers[0]);
        assert_eq!(after.active - before.active, 1, "{method:?} IPv{family}");
        assert_eq!(after.inactive, before.inactive, "{method:?} IPv{family}");
    }
}
