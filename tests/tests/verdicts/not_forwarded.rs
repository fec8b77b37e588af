//! Well-formed packets that are not forwarded: passed to the kernel, answered or dropped.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use lvs_common::verdict::Reason;
use lvs_config::rules;
use lvs_dataplane::director::NextHop;
use lvs_tests::frames::{Content, Packet};
use lvs_tests::object::{Action, INTERFACE, Object, hop, mac};
use lvs_tests::pairs;

use crate::BUFFERS;
use crate::world::{
    ACK, FAMILIES, Fate, METHODS, Method, PORT, PROTOCOLS, Protocol, SYN, address, check, client,
    forwarded, load_object, name, opening, request, virtual_address, world,
};

#[test]
fn packets_the_director_has_no_part_in_pass_to_the_kernel() {
    let Some(world) = world() else { return };
    let arp = [&[0xff; 6][..], &[2; 6], &[8, 6], &[0; 28]].concat();
    check(&world, "ARP", &arp, Reason::NotIp, Fate::Pass);
    for family in FAMILIES {
        let vip = virtual_address(family, Method::Direct);
        let tcp = |ports, flags| Content::Tcp {
            ports,
            flags,
            data: vec![],
        };
        let other = Content::Other {
            protocol: 47,
            data: vec![0; 20],
        };
        for (sentence, destination, content, reason) in [
            (
                "to an unrelated address",
                address(family, 77, 77),
                opening(Protocol::Tcp),
                Reason::NotOurs,
            ),
            ("GRE", vip, other, Reason::OtherProtocol),
            (
                "to a port without a service",
                vip,
                tcp([5_000, 81], SYN),
                Reason::NoService,
            ),
            (
                "of no connection",
                vip,
                tcp([5_001, PORT], ACK),
                Reason::NoConnection,
            ),
            (
                "without any flag",
                vip,
                tcp([5_002, PORT], 0),
                Reason::NoConnection,
            ),
            (
                "from FTP's data port",
                vip,
                tcp([20, PORT], SYN),
                Reason::NoConnection,
            ),
        ] {
            let packet = Packet::new(client(family), destination, content);
            check(&world, sentence, &packet.frame(), reason, Fate::Pass);
        }
    }
}

#[test]
fn packets_from_martian_sources_are_dropped() {
    let Some(world) = world() else { return };
    for (family, sources) in [
        (4, ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"]),
        (6, ["::", "::1", "::ffff:10.0.0.1", "ff02::1"]),
    ] {
        for (source, method) in pairs(sources, METHODS) {
            for protocol in PROTOCOLS {
                let packet = Packet {
                    source: source.parse().expect("an address"),
                    ..request(family, method, opening(protocol))
                };
                let sentence = format!("{protocol:?} from {source} by {method:?}");
                let frame = packet.frame();
                check(&world, &sentence, &frame, Reason::Martian, Fate::Drop);
            }
        }
    }
}

/// One UDP service for each family at 10.9.0.1 or fd09::1.
fn service(family: u8) -> String {
    format!(
        "-A -u {} -s rr\n",
        name(virtual_address(family, Method::Direct), PORT)
    )
}

fn its_server(family: u8) -> IpAddr {
    address(family, 2, 40)
}

fn with_server(family: u8, how: &str) -> String {
    let service = service(family);
    let address = name(virtual_address(family, Method::Direct), PORT);
    let server = name(its_server(family), PORT);
    format!("{service}-a -u {address} -r {server} {how}\n")
}

#[test]
fn a_service_without_usable_servers_answers_port_unreachable() {
    let Some(object) = load_object(64, "") else {
        return;
    };
    for family in FAMILIES {
        let packet = request(family, Method::Direct, opening(Protocol::Udp));
        object.configure(&service(family));
        let quoted = packet.ip();
        let data = quoted[..quoted.len() & !3].to_vec();
        let [kind, code] = if family == 4 { [3, 3] } else { [1, 4] };
        let answer = Packet {
            to: packet.from,
            from: packet.to,
            identification: 0,
            ..Packet::new(
                packet.destination,
                packet.source,
                Content::Icmp {
                    kind,
                    code,
                    rest: 0,
                    data,
                },
            )
        };
        let fate = Fate::tx(&answer);
        let frame = packet.frame();
        check(
            &object,
            "no servers",
            &frame,
            Reason::NoServer,
            fate.clone(),
        );
        object.configure(&with_server(family, "-g -w 0"));
        check(&object, "a quiesced one", &frame, Reason::NoServer, fate);

        for how in ["-g", "-m", "-i"] {
            // A server without a resolved next hop.
            object.configure("");
            let lines = with_server(family, how).replace(&its_server(family).to_string(), &{
                address(family, 2, 41).to_string()
            });
            let configuration = rules::parse(&lines).unwrap();
            object.director().configure(&configuration).unwrap();
            let packet = request(family, Method::Direct, opening(Protocol::Udp));
            let frame = packet.frame();
            let sentence = format!("an unresolved server, {how}");
            check(&object, &sentence, &frame, Reason::Unresolved, Fate::Drop);
        }
    }
}

#[test]
fn the_director_can_be_the_real_server() {
    let Some(object) = load_object(64, "") else {
        return;
    };
    for (family, how) in pairs(FAMILIES, ["-g", "-m", "-i"]) {
        object.configure(&with_server(family, how));
        let own = its_server(family);
        object.director().resolve(own, NextHop::Local);
        let frame = request(family, Method::Direct, opening(Protocol::Udp)).frame();
        check(&object, how, &frame, Reason::Local, Fate::Pass);
        object.resolve(own, hop(own));
    }
}

#[test]
fn packets_of_a_deleted_server_are_dropped_and_new_connections_are_not() {
    let Some(object) = load_object(64, "") else {
        return;
    };
    for (family, how) in pairs(FAMILIES, ["-g", "-m", "-i"]) {
        object.configure(&with_server(family, how));
        let packet = request(family, Method::Direct, opening(Protocol::Udp));
        let frame = packet.frame();
        assert_eq!(object.run(INTERFACE, &frame).unwrap().action, Action::Tx);
        object.configure(&service(family));
        check(&object, how, &frame, Reason::ServerDeleted, Fate::Drop);
        object.configure(&with_server(family, how));
    }
}

#[test]
fn a_full_table_forwards_by_hash_except_by_nat() {
    for (family, method) in pairs(FAMILIES, METHODS) {
        if method == Method::OtherTunnel {
            continue;
        }
        let how = match method {
            Method::Direct => "-g",
            Method::Nat => "-m",
            _ => "-i",
        };
        let lines = with_server(family, how).replace("-u", "-t");
        // One set of eight ways.
        let Some(object) = load_object(8, &lines) else {
            return;
        };
        let tcp = |port, flags| {
            let content = Content::Tcp {
                ports: [port, PORT],
                flags,
                data: vec![],
            };
            request(family, Method::Direct, content).frame()
        };
        let connections = if method == Method::Nat { 4 } else { 8 };
        for port in 1_000..1_000 + connections {
            for flags in [SYN, ACK] {
                object.run(INTERFACE, &tcp(port, flags)).unwrap();
            }
            if method == Method::Nat {
                establish(&object, family, port);
            }
        }
        // Connections that carried a few packets over some time stay when there is no room.
        for pause in [0, 700] {
            thread::sleep(Duration::from_millis(pause));
            for port in 1_000..1_000 + connections {
                object.run(INTERFACE, &tcp(port, ACK)).unwrap();
            }
        }
        for (sentence, port, flags) in [
            ("a new connection", 2_000, SYN),
            ("its next packet", 2_000, ACK),
        ] {
            let sentence = format!("{sentence} in a full table, IPv{family} by {method:?}");
            let frame = tcp(port, flags);
            if method == Method::Nat {
                check(&object, &sentence, &frame, Reason::TableFull, Fate::Drop);
            } else {
                let verdicts = object.verdicts();
                let end = object.run(INTERFACE, &frame).unwrap();
                assert_eq!(end.action, Action::Tx, "{sentence}");
                assert_eq!(end.frame[..6], mac(its_server(family)), "{sentence}");
                let stateless = Reason::Stateless as usize;
                assert_eq!(object.verdicts()[stateless], verdicts[stateless] + 1);
            }
        }
    }
}

/// The real server's part of a handshake through NAT, and the client's last word.
fn establish(object: &Object, family: u8, port: u16) {
    let reply = Content::Tcp {
        ports: [PORT, port],
        flags: SYN | ACK,
        data: vec![],
    };
    let reply = Packet::new(its_server(family), client(family), reply);
    let end = object.run(INTERFACE, &reply.frame()).unwrap();
    assert_eq!(end.action, Action::Tx);
    let last = Content::Tcp {
        ports: [port, PORT],
        flags: ACK,
        data: vec![],
    };
    let last = request(family, Method::Direct, last).frame();
    assert_eq!(object.run(INTERFACE, &last).unwrap().action, Action::Tx);
}

#[test]
fn a_packet_without_headroom_for_the_tunnel_header_is_dropped() {
    if BUFFERS {
        // The kernel makes room before a socket buffer.
        return;
    }
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        let packet = request(family, method, opening(Protocol::Udp));
        let before = world.verdicts();
        // Metadata takes the room away: of 256 bytes the kernel keeps 40 for itself.
        let Ok(end) = world.run_behind(INTERFACE, &packet.frame(), 204) else {
            // Kernels before 6.3 allow 32 bytes of it.
            return;
        };
        let after = world.verdicts();
        let (action, reason) = match method {
            Method::Tunnel | Method::OtherTunnel => (Action::Drop, Reason::NoRoom),
            Method::Direct | Method::Nat => (Action::Tx, method.reason()),
        };
        assert_eq!(end.action, action, "IPv{family} by {method:?}");
        assert_eq!(after[reason as usize], before[reason as usize] + 1);
        if action == Action::Tx {
            assert!(forwarded(&packet, family, method).frame().len() <= end.frame.len());
        }
    }
}

#[test]
fn a_tag_of_no_vlan_device_is_for_another_host() {
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        for tags in [vec![0x0009], vec![0xe009], vec![0, 9], vec![0x0064, 9]] {
            let packet = request(family, method, opening(Protocol::Tcp));
            let fate = Fate::tx(&forwarded(&packet, family, method));
            let first = format!("IPv{family} by {method:?} without a tag");
            check(&world, &first, &packet.frame(), method.reason(), fate);
            let sentence = format!("the same connection with tags {tags:?}");
            let frame = Packet { tags, ..packet }.frame();
            check(&world, &sentence, &frame, Reason::OtherHost, Fate::Pass);
        }
        let priority = Packet {
            tags: vec![0xe000],
            ..request(family, method, opening(Protocol::Tcp))
        };
        let fate = Fate::tx(&forwarded(&priority, family, method));
        let sentence = format!("IPv{family} by {method:?} with a priority alone");
        check(&world, &sentence, &priority.frame(), method.reason(), fate);
    }
}
