//! ICMP: errors follow their connections; the director answers packets it cannot forward.

use lvs_common::verdict::Reason;
use lvs_tests::frames::{Content, Fragment, Packet};
use lvs_tests::object::{Action, ICMP_RATE, INTERFACE, hop, mac};
use lvs_tests::pairs;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::world::{
    FAMILIES, Fate, METHODS, Method, NAT_PORT, PORT, PROTOCOLS, Protocol, address, check, client,
    forwarded, fresh_port, onwards, opening, request, server, tunnelled, virtual_address, world,
};

/// Type and code of "too big", "time exceeded" and "port unreachable".
const TOO_BIG: [[u8; 2]; 2] = [[3, 4], [2, 0]];
const TIME_EXCEEDED: [[u8; 2]; 2] = [[11, 0], [3, 0]];
const UNREACHABLE: [[u8; 2]; 2] = [[3, 3], [1, 4]];

fn icmp(family: u8, kinds: [[u8; 2]; 2], rest: u32, data: Vec<u8>) -> Content {
    let [kind, code] = kinds[usize::from(family == 6)];
    Content::Icmp {
        kind,
        code,
        rest,
        data,
    }
}

/// The director's ICMP error about a packet: it quotes whole words, as many as the RFCs allow.
fn answer(family: u8, about: &Packet, kinds: [[u8; 2]; 2], rest: u32) -> Packet {
    let mut quoted = about.ip();
    let most = if family == 4 { 576 - 28 } else { 1280 - 48 };
    quoted.truncate(quoted.len().min(most) & !3);
    Packet {
        to: about.from,
        from: about.to,
        tags: about.tags.clone(),
        identification: 0,
        ..Packet::new(
            about.destination,
            about.source,
            icmp(family, kinds, rest, quoted),
        )
    }
}

#[test]
fn an_expired_ttl_is_answered_with_time_exceeded() {
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        for tags in [vec![], vec![0x0064, 0x0007]] {
            let packet = Packet {
                hops: 1,
                tags,
                ..request(family, method, opening(Protocol::Udp))
            };
            let fate = Fate::tx(&answer(family, &packet, TIME_EXCEEDED, 0));
            let sentence = format!("one hop to go, IPv{family} by {method:?}");
            check(
                &world,
                &sentence,
                &packet.frame(),
                Reason::TimeExceeded,
                fate,
            );
        }
    }
}

#[test]
fn a_packet_larger_than_the_mtu_is_answered_with_the_size_that_fits() {
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        let to = server(family, method);
        let mut way = hop(to);
        way.mtu = 1_400;
        world.resolve(to, way);
        let header = match (method, to.is_ipv4()) {
            (Method::Direct | Method::Nat, _) => 0,
            (_, true) => 20,
            (_, false) => 40,
        };
        let fits = 1_400 - header;
        for size in [fits, fits + 1] {
            let ip = if family == 4 { 20 } else { 40 };
            let content = Content::Udp {
                ports: [fresh_port(), PORT],
                checksum: true,
                data: vec![0x5a; size - ip - 8],
            };
            let packet = Packet {
                dont_fragment: family == 4,
                ..request(family, method, content)
            };
            assert_eq!(packet.ip().len(), size);
            let sentence = format!("{size} of {fits} bytes, IPv{family} by {method:?}");
            let rest = u32::try_from(fits).unwrap();
            let (reason, fate) = if size == fits {
                let fate = Fate::tx(&forwarded(&packet, family, method));
                (method.reason(), fate)
            } else {
                let fate = Fate::tx(&answer(family, &packet, TOO_BIG, rest));
                (Reason::TooBig, fate)
            };
            check(&world, &sentence, &packet.frame(), reason, fate);
        }
        world.resolve(to, hop(to));
    }
}

#[test]
fn packets_that_must_not_be_answered_are_dropped() {
    let Some(world) = world() else { return };
    for family in FAMILIES {
        let late = Packet {
            hops: 1,
            ..request(family, Method::Direct, opening(Protocol::Udp))
        };
        let nobody = if family == 4 {
            "0.0.0.0".parse().unwrap()
        } else {
            "::".parse().unwrap()
        };
        let many = if family == 4 {
            "224.0.0.5".parse().unwrap()
        } else {
            "ff02::5".parse().unwrap()
        };
        for (sentence, reason, packet) in [
            (
                "from nobody",
                Reason::Martian,
                Packet {
                    source: nobody,
                    ..late.clone()
                },
            ),
            (
                "from a group",
                Reason::Martian,
                Packet {
                    source: many,
                    ..late.clone()
                },
            ),
        ] {
            let frame = packet.frame();
            check(&world, sentence, &frame, reason, Fate::Drop);
        }
        let broadcast = Packet {
            to: [0xff; 6],
            ..late
        };
        let frame = broadcast.frame();
        check(
            &world,
            "broadcast on the link",
            &frame,
            Reason::GroupFrame,
            Fate::Pass,
        );
    }
}

#[test]
fn icmp_answers_are_rate_limited() {
    let Some(world) = world() else { return };
    // The budget is each CPU's own.
    let everywhere = nix::sched::sched_getaffinity(Pid::from_raw(0)).unwrap();
    let mut one = CpuSet::new();
    one.set(0).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
    let packet = Packet {
        hops: 1,
        ..request(4, Method::Direct, opening(Protocol::Udp))
    };
    let before = world.verdicts();
    for _ in 0..4 * ICMP_RATE {
        world.run(INTERFACE, &packet.frame()).unwrap();
    }
    sched_setaffinity(Pid::from_raw(0), &everywhere).unwrap();
    let after = world.verdicts();
    let counted = |reason: Reason| after[reason as usize] - before[reason as usize];
    let (answered, silent) = (
        counted(Reason::TimeExceeded),
        counted(Reason::AnswerLimited),
    );
    assert_eq!(answered + silent, u64::from(4 * ICMP_RATE));
    assert!(silent >= u64::from(ICMP_RATE), "{answered} answers");
    // The next test may have to be answered.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
}

/// The start of a packet, as an ICMP error quotes it: eight bytes behind the IP header (RFC 792), so
/// that TCP's and SCTP's checksums, which nobody needs there, are none of it.
fn quote(packet: &Packet) -> Vec<u8> {
    let mut quote = packet.ip();
    quote.truncate(if packet.source.is_ipv4() { 28 } else { 48 });
    quote
}

#[test]
fn a_clients_icmp_error_reaches_the_real_server_of_its_connection() {
    let Some(world) = world() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        for protocol in PROTOCOLS {
            let content = opening(protocol);
            let packet = request(family, method, content.clone());
            let fate = Fate::tx(&forwarded(&packet, family, method));
            check(&world, "opening", &packet.frame(), method.reason(), fate);
            let port = port(&packet);
            // What the client got: whoever sends the error saw the virtual address.
            let got = |source, from: u16| {
                let content = content.clone().with_ports([from, port]);
                quote(&Packet::new(source, client(family), plain(content)))
            };
            let router = address(family, 1, 254);
            let vip = virtual_address(family, method);
            let error = Packet::new(router, vip, icmp(family, TOO_BIG, 1_400, got(vip, PORT)));
            let to = server(family, method);
            let moved = onwards(&error, to);
            let expected = match method {
                Method::Direct => moved,
                Method::Nat => Packet {
                    destination: to,
                    content: icmp(family, TOO_BIG, 1_400, got(to, NAT_PORT)),
                    ..moved
                },
                Method::Tunnel | Method::OtherTunnel => tunnelled(moved, to),
            };
            let sentence = format!("an error about {protocol:?} over IPv{family} by {method:?}");
            let fate = Fate::tx(&expected);
            check(
                &world,
                &sentence,
                &error.frame(),
                Reason::IcmpToServer,
                fate,
            );
            let late = Packet { hops: 1, ..error };
            let sentence = "an error is never answered with another";
            let frame = late.frame();
            check(&world, sentence, &frame, Reason::Unanswerable, Fate::Drop);
        }
    }
}

#[test]
fn fragments_of_an_error_follow_the_first_one() {
    let Some(world) = world() else { return };
    for (number, (family, method)) in (0_u32..).zip(pairs(FAMILIES, METHODS)) {
        let content = opening(Protocol::Udp);
        let packet = request(family, method, content.clone());
        let fate = Fate::tx(&forwarded(&packet, family, method));
        check(&world, "opening", &packet.frame(), method.reason(), fate);
        let port = port(&packet);
        let (to, vip, client) = (
            server(family, method),
            virtual_address(family, method),
            client(family),
        );
        let about = |source, destination, ports| {
            let content = content.clone().with_ports(ports);
            let mut about = quote(&Packet::new(source, destination, plain(content)));
            about.resize(400, 0x77);
            icmp(family, TOO_BIG, 1_400, about)
        };
        let piece = |error: &Packet, offset, length| Packet {
            identification: 0x6100 + number,
            fragment: Some(Fragment { offset, length }),
            ..error.clone()
        };
        // The first one ends behind the headers of the packet that the error is about.
        let ends = [(0, Some(88)), (88, Some(160)), (248, None)];
        let error = Packet::new(
            address(family, 1, 254),
            vip,
            about(vip, client, [PORT, port]),
        );
        let moved = onwards(&error, to);
        let expected = match method {
            Method::Nat => Packet {
                destination: to,
                content: about(to, client, [NAT_PORT, port]),
                ..moved
            },
            _ => moved,
        };
        for (offset, length) in ends {
            let part = piece(&expected, offset, length);
            let fate = match method {
                Method::Direct | Method::Nat => Fate::tx(&part),
                Method::Tunnel | Method::OtherTunnel => Fate::tx(&tunnelled(part, to)),
            };
            let sentence = format!("to the server from {offset}, IPv{family} by {method:?}");
            let frame = piece(&error, offset, length).frame();
            check(&world, &sentence, &frame, Reason::IcmpToServer, fate);
        }
    }
}

/// The quotation of a packet with options: all of its header and eight bytes (RFC 792).
fn quote_with_options(packet: &Packet) -> Vec<u8> {
    let mut quote = packet.ip();
    quote.truncate(20 + packet.options.len() + 8);
    quote
}

#[test]
fn errors_about_packets_with_options_follow_their_connection() {
    let Some(world) = world() else { return };
    let quoted = |source, destination, content: &Content, options: &[u8]| {
        let options = options.to_vec();
        quote_with_options(&Packet {
            options,
            ..Packet::new(source, destination, plain(content.clone()))
        })
    };
    for (method, protocol) in pairs(METHODS, PROTOCOLS) {
        for options in [vec![1, 1, 1, 0], vec![1; 40]] {
            let content = plain(opening(protocol));
            let packet = request(4, method, content.clone());
            let fate = Fate::tx(&forwarded(&packet, 4, method));
            check(&world, "opening", &packet.frame(), method.reason(), fate);
            let (to, vip) = (server(4, method), virtual_address(4, method));
            let (client, port) = (client(4), port(&packet));
            let sentence = format!("about {protocol:?} by {method:?} with {options:?}");
            // About what the client got.
            let answer = |from: u16| content.clone().with_ports([from, port]);
            let at_client = quoted(vip, client, &answer(PORT), &options);
            let router = address(4, 1, 254);
            let error = Packet::new(router, vip, icmp(4, TOO_BIG, 1_400, at_client));
            let moved = onwards(&error, to);
            let expected = match method {
                Method::Direct => moved,
                Method::Nat => Packet {
                    destination: to,
                    content: icmp(
                        4,
                        TOO_BIG,
                        1_400,
                        quoted(to, client, &answer(NAT_PORT), &options),
                    ),
                    ..moved
                },
                Method::Tunnel | Method::OtherTunnel => tunnelled(moved, to),
            };
            let (reason, fate) = (Reason::IcmpToServer, Fate::tx(&expected));
            check(&world, &sentence, &error.frame(), reason, fate);
            if method != Method::Nat {
                continue;
            }
            // About what the real server got.
            let asked = |to: u16| content.clone().with_ports([port, to]);
            let at_server = quoted(client, to, &asked(NAT_PORT), &options);
            let error = Packet {
                from: mac(to),
                to: packet.to,
                ..Packet::new(to, client, icmp(4, UNREACHABLE, 0, at_server))
            };
            let expected = Packet {
                from: packet.to,
                to: packet.from,
                source: vip,
                hops: 63,
                content: icmp(
                    4,
                    UNREACHABLE,
                    0,
                    quoted(client, vip, &asked(PORT), &options),
                ),
                ..error.clone()
            };
            let (reason, fate) = (Reason::IcmpToClient, Fate::tx(&expected));
            check(&world, &sentence, &error.frame(), reason, fate);
        }
    }
}

/// Without a checksum that the quotation would contain.
fn plain(mut content: Content) -> Content {
    if let Content::Udp { checksum, .. } = &mut content {
        *checksum = false;
    }
    content
}

fn port(packet: &Packet) -> u16 {
    match &packet.content {
        Content::Tcp { ports, .. } | Content::Udp { ports, .. } | Content::Sctp { ports, .. } => {
            ports[0]
        }
        _ => 0,
    }
}

#[test]
fn a_real_servers_icmp_error_reaches_the_client_of_its_connection() {
    let Some(world) = world() else { return };
    for (family, protocol) in pairs(FAMILIES, PROTOCOLS) {
        let content = plain(opening(protocol));
        let packet = Packet {
            tags: vec![0x0005],
            ..request(family, Method::Nat, content.clone())
        };
        let to_server = forwarded(&packet, family, Method::Nat);
        let fate = Fate::tx(&to_server);
        check(&world, "opening", &packet.frame(), Reason::Nat, fate);
        let to = server(family, Method::Nat);
        let vip = virtual_address(family, Method::Nat);
        let arrived = Packet::new(
            client(family),
            to,
            content.clone().with_ports([port(&packet), NAT_PORT]),
        );
        let sent = Packet::new(client(family), vip, content);
        let error = Packet {
            from: mac(to),
            to: packet.to,
            ..Packet::new(
                to,
                client(family),
                icmp(family, UNREACHABLE, 0, quote(&arrived)),
            )
        };
        let mut expected = Packet {
            from: packet.to,
            to: packet.from,
            source: vip,
            hops: 63,
            content: icmp(family, UNREACHABLE, 0, quote(&sent)),
            ..error.clone()
        };
        let sentence = format!("a NAT real server's error about {protocol:?} over IPv{family}");
        let fate = Fate::tx(&expected);
        check(
            &world,
            &sentence,
            &error.frame(),
            Reason::IcmpToClient,
            fate,
        );
        // A router on the way says it: to the client it comes from the virtual address too.
        let router = Packet {
            source: address(family, 2, 254),
            ..error
        };
        expected.source = vip;
        let sentence = "a router's error on the real servers' side";
        let fate = Fate::tx(&expected);
        check(
            &world,
            sentence,
            &router.frame(),
            Reason::IcmpToClient,
            fate,
        );
    }
}

/// Socket buffers wait in the kernel while it asks for the Ethernet address.
#[test]
fn a_routers_error_about_a_packet_in_a_tunnel_reaches_the_client() {
    let Some(world) = world() else { return };
    for (family, protocol) in pairs(FAMILIES, PROTOCOLS) {
        let packet = request(family, Method::Tunnel, opening(protocol));
        let around = forwarded(&packet, family, Method::Tunnel);
        let fate = Fate::tx(&around);
        check(&world, "opening", &packet.frame(), Reason::Tunnel, fate);
        let director = around.source;
        let error = Packet {
            from: mac(around.destination),
            to: packet.to,
            ..Packet::new(
                address(family, 2, 254),
                director,
                icmp(family, TOO_BIG, 1400, around.ip()),
            )
        };
        // The packet inside, in whole words.
        let mut inside = onwards(&packet, around.destination).ip();
        inside.truncate(inside.len() & !3);
        let mtu = 1400 - if family == 4 { 20 } else { 40 };
        let expected = Packet {
            from: packet.to,
            to: packet.from,
            source: packet.destination,
            destination: packet.source,
            identification: 0,
            content: icmp(family, TOO_BIG, mtu, inside),
            ..error.clone()
        };
        let sentence = format!("an error about {protocol:?} in a tunnel over IPv{family}");
        let fate = Fate::tx(&expected);
        let reason = Reason::IcmpToClient;
        check(&world, &sentence, &error.frame(), reason, fate);
    }
}

#[test]
fn an_error_for_a_client_that_the_kernel_has_to_find_is_lost_as_a_frame_only() {
    let Some(world) = world() else { return };
    for protocol in PROTOCOLS {
        let content = plain(opening(protocol));
        let packet = Packet {
            source: "198.19.0.7".parse().unwrap(),
            ..request(4, Method::Nat, content.clone())
        };
        let to_server = forwarded(&packet, 4, Method::Nat);
        let fate = Fate::tx(&to_server);
        check(&world, "opening", &packet.frame(), Reason::Nat, fate);
        let (to, vip) = (server(4, Method::Nat), virtual_address(4, Method::Nat));
        let at_server = |content: Content| {
            let ports = [port(&packet), NAT_PORT];
            Packet::new(packet.source, to, content.with_ports(ports))
        };
        let quoted = quote(&at_server(content.clone()));
        let error = Packet {
            from: mac(to),
            ..Packet::new(to, packet.source, icmp(4, UNREACHABLE, 0, quoted))
        };
        if !crate::BUFFERS {
            let reason = Reason::ClientUnresolved;
            check(&world, "a frame", &error.frame(), reason, Fate::Drop);
            continue;
        }
        let sent = Packet::new(packet.source, vip, content);
        let expected = Packet {
            source: vip,
            hops: 63,
            content: icmp(4, UNREACHABLE, 0, quote(&sent)),
            ..error.clone()
        };
        let before = world.verdicts();
        let end = world.run(INTERFACE, &error.frame()).unwrap();
        let reason = Reason::IcmpToClient as usize;
        assert_eq!(world.verdicts()[reason], before[reason] + 1, "{end:?}");
        assert_eq!(end.action, Action::Tx);
        // The kernel writes the Ethernet header.
        assert_eq!(end.frame[14..], expected.frame()[14..]);
    }
}

#[test]
fn other_icmp_passes_to_the_kernel() {
    let Some(world) = world() else { return };
    for family in FAMILIES {
        let vip = virtual_address(family, Method::Nat);
        let echo = [[8, 0], [128, 0]];
        let stranger = Packet::new(vip, client(family), opening(Protocol::Tcp));
        let mut cut = quote(&stranger);
        cut.truncate(cut.len() - 6);
        for (sentence, content) in [
            ("echo", icmp(family, echo, 1, vec![1; 30])),
            (
                "an error about no connection",
                icmp(family, UNREACHABLE, 0, quote(&stranger)),
            ),
            (
                "an error that quotes no ports",
                icmp(family, UNREACHABLE, 0, cut),
            ),
            (
                "an error that quotes nothing",
                icmp(family, UNREACHABLE, 0, vec![]),
            ),
        ] {
            let packet = Packet::new(client(family), vip, content);
            let frame = packet.frame();
            check(&world, sentence, &frame, Reason::IcmpOther, Fate::Pass);
            let part = Packet {
                fragment: Some(Fragment {
                    offset: 0,
                    length: Some(8),
                }),
                ..packet
            };
            let frame = part.frame();
            check(&world, sentence, &frame, Reason::IcmpOther, Fate::Pass);
        }
    }
}
