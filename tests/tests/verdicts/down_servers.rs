//! Connections of real servers that do not answer, are down, or are deleted.

use std::fmt::Write as _;
use std::net::SocketAddr;

use lvs_api::model::{self, ServerId, ServiceId};
use lvs_api::protocol::Edit;
use lvs_common::verdict::Reason;
use lvs_dataplane::director::OnDown;
use lvs_tests::frames::{Content, Packet};
use lvs_tests::object::{Action, INTERFACE, Object, mac};
use lvs_tests::pairs;

use crate::world::{
    ACK, FAMILIES, Fate, METHODS, Method, NAT_PORT, PORT, SYN, address, check, forwarded,
    fresh_port, load_object, name, request, server, virtual_address,
};

/// The services of the other rows, over TCP and UDP, with one more server each, which is quiesced.
fn load() -> Option<Object> {
    let mut lines = String::new();
    for (family, method) in pairs(FAMILIES, METHODS) {
        let (port, how) = match method {
            Method::Direct => (PORT, "-g"),
            Method::Nat => (NAT_PORT, "-m"),
            Method::Tunnel | Method::OtherTunnel => (PORT, "-i"),
        };
        for flag in ["-t", "-u"] {
            let service = name(virtual_address(family, method), PORT);
            let first = name(server(family, method), port);
            let second = name(second(family, method), port);
            let _ = writeln!(lines, "-A {flag} {service} -s rr");
            let _ = writeln!(lines, "-a {flag} {service} -r {first} {how}");
            let _ = writeln!(lines, "-a {flag} {service} -r {second} {how} -w 0");
        }
    }
    load_object(4_096, &lines)
}

fn second(family: u8, method: Method) -> std::net::IpAddr {
    let family = if method == Method::OtherTunnel {
        10 - family
    } else {
        family
    };
    address(family, 2, 20 + method as u8)
}

fn service(protocol: model::Protocol, family: u8, method: Method) -> ServiceId {
    ServiceId::Address {
        protocol,
        address: SocketAddr::new(virtual_address(family, method), PORT),
    }
}

fn identity(address: std::net::IpAddr, method: Method) -> ServerId {
    let port = if method == Method::Nat {
        NAT_PORT
    } else {
        PORT
    };
    ServerId(SocketAddr::new(address, port))
}

/// Gives one of a service's servers another weight.
fn weigh(object: &Object, service: ServiceId, server: ServerId, weight: u32) {
    let services = object.services();
    let found = services.iter().find(|found| found.id == service).unwrap();
    let settings = found
        .servers
        .iter()
        .find(|found| found.id == server)
        .unwrap();
    let settings = model::ServerSettings {
        weight,
        ..settings.settings
    };
    let edit = Edit::EditServer {
        service,
        server,
        settings,
    };
    object.director().apply(&edit).unwrap();
}

/// Active and inactive connections of a server.
fn connections(object: &Object, service: ServiceId, server: ServerId) -> (u32, u32) {
    let services = object.services();
    let found = services.iter().find(|found| found.id == service).unwrap();
    let server = found
        .servers
        .iter()
        .find(|found| found.id == server)
        .unwrap();
    (server.active, server.inactive)
}

/// The packet that the second server of a service receives for a client's packet.
fn to_second(packet: &Packet, family: u8, method: Method) -> Packet {
    let (from, to) = (server(family, method), second(family, method));
    let mut packet = forwarded(packet, family, method);
    packet.to = mac(to);
    if packet.destination == from {
        packet.destination = to;
    }
    if let Content::Packet(inner) = &mut packet.content {
        inner.to = packet.to;
    }
    packet
}

/// A client's segment, sent again and again: the reset of the server's side first, as the server may be alive, then
/// those of the client's.
fn both_sides_are_reset(object: &Object, family: u8, method: Method, asked: &Packet) {
    let Content::Tcp {
        ports: [client, _], ..
    } = asked.content
    else {
        panic!("no segment: {asked:?}");
    };
    let reset = Packet {
        to: asked.from,
        from: asked.to,
        identification: 0,
        dont_fragment: true,
        ..Packet::new(
            asked.destination,
            asked.source,
            Content::Reset {
                ports: [PORT, client],
            },
        )
    };
    let onward = Packet {
        content: Content::ServerReset {
            ports: [client, PORT],
        },
        identification: 0,
        dont_fragment: family == 4,
        ..asked.clone()
    };
    let fate = Fate::tx(&forwarded(&onward, family, method));
    check(
        object,
        &format!("the server's side, {method:?} over IPv{family}"),
        &asked.frame(),
        Reason::ServerReset,
        fate,
    );
    for time in ["first", "second"] {
        let fate = Fate::tx(&reset);
        check(
            object,
            &format!("{time}, {method:?} over IPv{family}"),
            &asked.frame(),
            Reason::Reset,
            fate,
        );
    }
}

#[test]
fn connections_of_a_down_server_are_rescheduled_or_reset() {
    let Some(object) = load() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        let sentence = |what: &str| format!("{what}, {method:?} over IPv{family}");
        let id = service(model::Protocol::Tcp, family, method);
        let (one, two) = (
            identity(server(family, method), method),
            identity(second(family, method), method),
        );
        let segment = |port, flags, data: &[u8]| {
            let content = Content::Tcp {
                ports: [port, PORT],
                flags,
                data: data.to_vec(),
            };
            request(family, method, content)
        };
        let (established, half_open) = (fresh_port(), fresh_port());
        for (port, flags) in [(established, SYN), (established, ACK), (half_open, SYN)] {
            let packet = segment(port, flags, b"");
            let fate = Fate::tx(&forwarded(&packet, family, method));
            check(
                &object,
                &sentence("opening"),
                &packet.frame(),
                method.reason(),
                fate,
            );
        }
        assert_eq!(connections(&object, id, one), (2, 0));

        // The repeated SYN is reported once.
        object.director().syn_retries();
        let syn = segment(half_open, SYN, b"");
        let fate = Fate::tx(&forwarded(&syn, family, method));
        check(
            &object,
            &sentence("repeated"),
            &syn.frame(),
            method.reason(),
            fate,
        );
        let retries = object.director().syn_retries();
        assert_eq!(retries.len(), 1, "{retries:?}");
        assert_eq!(
            (retries[0].service, retries[0].server, retries[0].syns),
            (id, one, 1)
        );
        assert_eq!(object.director().syn_retries(), []);

        weigh(&object, id, one, 0);
        weigh(&object, id, two, 1);
        assert!(object.director().mark_down(&id, one, OnDown::Reset));
        let fate = Fate::tx(&to_second(&syn, family, method));
        check(
            &object,
            &sentence("SYN"),
            &syn.frame(),
            Reason::Rescheduled,
            fate,
        );
        let asked = segment(established, ACK, b"GET / HTTP/1.1");
        both_sides_are_reset(&object, family, method, &asked);
        assert_eq!(connections(&object, id, one), (0, 1));
        assert_eq!(connections(&object, id, two), (1, 0));

        // A server that takes connections again is not down.
        weigh(&object, id, one, 1);
        let fate = Fate::tx(&forwarded(&asked, family, method));
        check(
            &object,
            &sentence("up"),
            &asked.frame(),
            method.reason(),
            fate,
        );
    }
}

#[test]
fn a_udp_flow_of_a_down_server_moves_to_another() {
    let Some(object) = load() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        let id = service(model::Protocol::Udp, family, method);
        let (one, two) = (
            identity(server(family, method), method),
            identity(second(family, method), method),
        );
        let content = Content::Udp {
            ports: [fresh_port(), PORT],
            checksum: true,
            data: b"again".to_vec(),
        };
        let packet = request(family, method, content);
        let sentence = format!("a datagram, {method:?} over IPv{family}");
        let fate = Fate::tx(&forwarded(&packet, family, method));
        check(&object, &sentence, &packet.frame(), method.reason(), fate);
        weigh(&object, id, one, 0);
        weigh(&object, id, two, 1);
        assert!(object.director().mark_down(&id, one, OnDown::Reschedule));
        let moved = to_second(&packet, family, method);
        for reason in [Reason::Rescheduled, method.reason()] {
            check(
                &object,
                &sentence,
                &packet.frame(),
                reason,
                Fate::tx(&moved),
            );
        }
        assert_eq!(connections(&object, id, one), (0, 0));
        assert_eq!(connections(&object, id, two), (0, 1));
    }
}

#[test]
fn a_repeated_syn_is_redispatched_if_the_service_allows_it() {
    let Some(object) = load() else { return };
    for (family, method) in pairs(FAMILIES, METHODS) {
        let id = service(model::Protocol::Tcp, family, method);
        let (one, two) = (
            identity(server(family, method), method),
            identity(second(family, method), method),
        );
        let content = Content::Tcp {
            ports: [fresh_port(), PORT],
            flags: SYN,
            data: Vec::new(),
        };
        let syn = request(family, method, content);
        let sentence = format!("a SYN, {method:?} over IPv{family}");
        let fate = Fate::tx(&forwarded(&syn, family, method));
        check(&object, &sentence, &syn.frame(), method.reason(), fate);
        weigh(&object, id, two, 1);
        let mut settings = object.director().wanted(&id).unwrap().settings.clone();
        settings.redispatch = Some(true);
        let edit = Edit::EditService {
            service: id,
            settings,
        };
        object.director().apply(&edit).unwrap();
        for (to, counts) in [
            (to_second(&syn, family, method), [(0, 0), (1, 0)]),
            (forwarded(&syn, family, method), [(1, 0), (0, 0)]),
        ] {
            check(
                &object,
                &sentence,
                &syn.frame(),
                Reason::Rescheduled,
                Fate::tx(&to),
            );
            let found = [one, two].map(|server| connections(&object, id, server));
            assert_eq!(found, counts, "{sentence}");
        }
    }
}

#[test]
fn a_deleted_server_can_be_marked_down() {
    let Some(object) = load() else { return };
    let id = service(model::Protocol::Tcp, 4, Method::Direct);
    let one = identity(server(4, Method::Direct), Method::Direct);
    let content = |flags| Content::Tcp {
        ports: [41_000, PORT],
        flags,
        data: Vec::new(),
    };
    for flags in [SYN, ACK] {
        let packet = request(4, Method::Direct, content(flags));
        let fate = Fate::tx(&forwarded(&packet, 4, Method::Direct));
        check(&object, "opening", &packet.frame(), Reason::Direct, fate);
    }
    let delete = Edit::DeleteServer {
        service: id,
        server: one,
    };
    object.director().apply(&delete).unwrap();
    let asked = request(4, Method::Direct, content(ACK));
    let drop = |sentence, reason| {
        check(&object, sentence, &asked.frame(), reason, Fate::Drop);
    };
    drop("of a deleted server", Reason::ServerDeleted);
    assert!(object.director().mark_down(&id, one, OnDown::Reset));
    for _ in 0..2 {
        let end = object.run(INTERFACE, &asked.frame()).unwrap();
        assert_eq!(end.action, Action::Tx);
    }
    assert!(object.director().mark_down(&id, one, OnDown::Keep));
    drop("kept", Reason::ServerDeleted);
    let nobody = ServerId("10.2.0.99:80".parse().unwrap());
    assert!(!object.director().mark_down(&id, nobody, OnDown::Reset));
}

#[test]
fn a_service_decides_what_becomes_of_the_connections_of_a_deleted_server() {
    let Some(object) = load() else { return };
    for (method, on_down, ends) in [
        (Method::Direct, OnDown::Keep, [Action::Drop, Action::Drop]),
        (Method::Nat, OnDown::Reschedule, [Action::Tx, Action::Tx]),
        (Method::Tunnel, OnDown::Reset, [Action::Tx, Action::Tx]),
    ] {
        let id = service(model::Protocol::Tcp, 4, method);
        let mut settings = object.director().wanted(&id).unwrap().settings.clone();
        settings.on_down = Some(on_down);
        let edit = Edit::EditService {
            service: id,
            settings: settings.clone(),
        };
        object.director().apply(&edit).unwrap();
        // An edit by ipvsadm's options leaves it as it is.
        settings.on_down = None;
        let edit = Edit::EditService {
            service: id,
            settings,
        };
        object.director().apply(&edit).unwrap();
        let found = object.director().wanted(&id).unwrap().settings.on_down;
        assert_eq!(found, Some(on_down));
        let port = fresh_port();
        let segment = |flags| {
            let content = Content::Tcp {
                ports: [port, PORT],
                flags,
                data: Vec::new(),
            };
            request(4, method, content)
        };
        for flags in [SYN, ACK] {
            let packet = segment(flags);
            let fate = Fate::tx(&forwarded(&packet, 4, method));
            check(&object, "opening", &packet.frame(), method.reason(), fate);
        }
        let delete = Edit::DeleteServer {
            service: id,
            server: identity(server(4, method), method),
        };
        object.director().apply(&delete).unwrap();
        let found = [(); 2].map(|()| object.run(INTERFACE, &segment(ACK).frame()).unwrap().action);
        assert_eq!(found, ends, "{on_down:?}");
    }
}
