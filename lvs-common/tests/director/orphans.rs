//! Connections whose server is down.

use lvs_common::abi::{Hop, Method, Pick, Server};
use lvs_common::connection::Protocol;
use lvs_common::packet::Packet as _;
use lvs_common::verdict::{Action, Reason, Verdict};

use super::frames::{ACK, Draft, FIN, RST, SYN, at};
use super::memory::{Director, INTERFACE};
use super::packet::Frame;

const METHODS: [Method; 3] = [Method::Direct, Method::Nat, Method::Tunnel];
/// Client and virtual address of either family.
const FAMILIES: [(&str, &str); 2] = [
    ("198.51.100.7:40000", "192.0.2.1:80"),
    ("[2001:db8:1::7]:40000", "[2001:db8:2::1]:80"),
];

fn director(protocol: Protocol, virtual_address: &str, method: Method) -> Director {
    let mut director = Director::new();
    let to = at(virtual_address);
    let service = director.serve(protocol, to, Pick::Rotate);
    for number in 1..=2 {
        let server = if to.is_ipv4() {
            format!("10.0.0.{number}:80")
        } else {
            format!("[2001:db8:3::{number}]:80")
        };
        director.add(service, at(&server), method, 1);
    }
    director
}

#[track_caller]
fn reason(director: &Director, draft: &Draft) -> Reason {
    let (verdict, _) = director.handle(&draft.frame());
    verdict.reason().expect("a known reason")
}

/// A server that the controller has found dead.
fn down(director: &mut Director, server: usize) {
    director.edit(0, |_, members| members[server].weight = 0);
    director.servers[server].flags |= Server::DOWN;
}

#[test]
fn a_segment_is_answered_with_the_reset_of_a_closed_port() {
    for (client, to) in FAMILIES {
        for method in METHODS {
            for tags in [vec![], vec![5], vec![100, 7]] {
                for flags in [ACK, FIN] {
                    let segment = |flags| {
                        Draft::tcp(client, to, flags).with(|draft| draft.tags.clone_from(&tags))
                    };
                    let mut director = director(Protocol::Tcp, to, method);
                    director.know_vlans(INTERFACE, &tags);
                    reason(&director, &segment(SYN));
                    reason(&director, &segment(ACK));
                    assert_eq!(director.connections(0), (1, 0));
                    down(&mut director, 0);
                    let asked = segment(flags).sized(777);
                    // A lost reset is sent again.
                    for _ in 0..2 {
                        let (verdict, frame) = director.handle(&asked.frame());
                        assert_eq!(verdict, Verdict::transmit(Reason::Reset));
                        assert_eq!(frame, asked.reset().frame(), "{client} {method:?} {tags:?}");
                        assert_eq!(director.states(), [(0, "CLOSE")]);
                        assert_eq!(director.connections(0), (0, 1));
                    }
                    director.pass_time(11);
                    reason(&director, &asked);
                    assert_eq!(director.states(), []);
                    assert_eq!(director.connections(0), (0, 0));
                }
            }
        }
    }
}

#[test]
fn a_reset_has_no_options_and_no_extension_headers() {
    let destination_options = vec![0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (family, (client, to)) in FAMILIES.into_iter().enumerate() {
        let mut director = director(Protocol::Tcp, to, Method::Direct);
        reason(&director, &Draft::tcp(client, to, SYN));
        reason(&director, &Draft::tcp(client, to, ACK));
        down(&mut director, 0);
        let asked = Draft::tcp(client, to, ACK).with(|draft| match family {
            0 => draft.options = vec![7, 7, 4, 0, 0, 0, 0, 0],
            _ => draft.extensions = vec![(60, destination_options.clone())],
        });
        let (verdict, frame) = director.handle(&asked.frame());
        assert_eq!(verdict, Verdict::transmit(Reason::Reset));
        assert_eq!(frame, asked.reset().frame());
    }
}

#[test]
fn a_syn_goes_to_another_server() {
    for (client, to) in FAMILIES {
        for method in METHODS {
            for opening in [&[SYN][..], &[SYN, ACK]] {
                let mut director = director(Protocol::Tcp, to, method);
                for flags in opening {
                    reason(&director, &Draft::tcp(client, to, *flags));
                }
                down(&mut director, 0);
                let syn = Draft::tcp(client, to, SYN);
                assert_eq!(reason(&director, &syn), Reason::Rescheduled);
                assert_eq!(director.states(), [(1, "SYN_RECV")]);
                assert_eq!(director.connections(0), (0, 0));
                assert_eq!(director.connections(1), (1, 0));
                assert_eq!(
                    director.syn_retries(0),
                    0,
                    "everybody knows that it is down"
                );
            }
        }
    }
}

#[test]
fn a_datagram_goes_to_another_server() {
    for (client, to) in FAMILIES {
        for method in METHODS {
            let mut director = director(Protocol::Udp, to, method);
            let datagram = Draft::udp(client, to);
            reason(&director, &datagram);
            down(&mut director, 0);
            assert_eq!(reason(&director, &datagram), Reason::Rescheduled);
            assert_eq!(director.connections(0), (0, 0));
            assert_eq!(director.connections(1), (0, 1));
            assert_ne!(reason(&director, &datagram), Reason::Rescheduled);
        }
    }
}

#[test]
fn without_another_server_a_new_connection_is_refused() {
    let (client, to) = FAMILIES[0];
    let mut director = director(Protocol::Tcp, to, Method::Direct);
    reason(&director, &Draft::tcp(client, to, SYN));
    down(&mut director, 0);
    down(&mut director, 1);
    let syn = Draft::tcp(client, to, SYN);
    assert_eq!(reason(&director, &syn), Reason::NoServer);
    assert_eq!(director.connections(0), (0, 0));
}

#[test]
fn a_deleted_server_that_is_down_has_its_clients_reset_too() {
    let (client, to) = FAMILIES[0];
    let mut director = director(Protocol::Tcp, to, Method::Direct);
    reason(&director, &Draft::tcp(client, to, SYN));
    reason(&director, &Draft::tcp(client, to, ACK));
    director.edit(0, |_, members| {
        members.remove(0);
    });
    director.servers[0].flags = Server::DELETED | Server::DOWN;
    let segment = Draft::tcp(client, to, ACK);
    assert_eq!(reason(&director, &segment), Reason::Reset);
}

#[test]
fn what_no_reset_may_answer_is_dropped() {
    let (client, to) = FAMILIES[0];
    let mut director = director(Protocol::Tcp, to, Method::Direct);
    reason(&director, &Draft::tcp(client, to, SYN));
    reason(&director, &Draft::tcp(client, to, ACK));
    down(&mut director, 0);
    let dropped = |draft: &Draft| {
        let (verdict, _) = director.handle(&draft.frame());
        assert_eq!(
            (verdict.action(), verdict.reason()),
            (Action::Drop, Some(Reason::ServerDown)),
            "{draft:?}"
        );
    };
    let plain = Draft::tcp(client, to, 0);
    dropped(&plain);
    assert_eq!(director.states(), [(0, "ESTABLISHED")]);
    let without_ack = Draft::tcp(client, to, FIN & !ACK);
    dropped(&without_ack);
    let to_everybody = Draft::tcp(client, to, ACK).with(|draft| draft.macs.0 = [0xff; 6]);
    assert_eq!(reason(&director, &to_everybody), Reason::GroupFrame);
    dropped(&Draft::tcp(client, to, RST));
    assert_eq!(director.states(), [(0, "CLOSE")]);
    assert_eq!(director.connections(0), (0, 1));
}

#[test]
fn an_association_waits_until_its_client_starts_anew() {
    let (client, to) = FAMILIES[0];
    let mut director = director(Protocol::Sctp, to, Method::Direct);
    reason(&director, &Draft::sctp(client, to, 1));
    down(&mut director, 0);
    let data = Draft::sctp(client, to, 0);
    assert_eq!(reason(&director, &data), Reason::ServerDown);
    let init = Draft::sctp(client, to, 1);
    assert_eq!(reason(&director, &init), Reason::Rescheduled);
    assert_eq!(director.connections(1), (0, 1));
}

#[test]
fn persistence_ends_with_its_server() {
    let (client, to) = FAMILIES[0];
    let mut director = director(Protocol::Tcp, to, Method::Direct);
    director.edit(0, |plan, _| {
        plan.persistence = 60;
        plan.prefix = 24;
    });
    reason(&director, &Draft::tcp(client, to, SYN));
    reason(&director, &Draft::tcp(client, to, ACK));
    assert_eq!((director.templates(0), director.templates(1)), (1, 0));
    down(&mut director, 0);
    reason(&director, &Draft::tcp("198.51.100.9:1000", to, SYN));
    assert_eq!((director.templates(0), director.templates(1)), (0, 1));
    assert_eq!(director.connections(1), (1, 0));
}

/// The frame in which a client's packet of an established connection reaches a server that is up.
fn sent_on(method: Method, packet: &Draft) -> Vec<u8> {
    let (client, to) = (packet.from.to_string(), packet.to.to_string());
    let director = director(Protocol::Tcp, &to, method);
    for flags in [SYN, ACK] {
        reason(&director, &Draft::tcp(&client, &to, flags));
    }
    director.handle(&packet.frame()).1
}

#[test]
fn the_first_segment_resets_the_server_and_the_next_ones_the_client() {
    let extensions = vec![(60, vec![0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])];
    for (family, (client, to)) in FAMILIES.into_iter().enumerate() {
        for method in METHODS {
            for bare in [true, false] {
                for flags in [ACK, FIN] {
                    let segment = |flags| {
                        Draft::tcp(client, to, flags).with(|draft| match (bare, family) {
                            (true, _) => {}
                            (false, 0) => draft.options = vec![7, 7, 4, 0, 0, 0, 0, 0],
                            (false, _) => draft.extensions.clone_from(&extensions),
                        })
                    };
                    let mut director = director(Protocol::Tcp, to, method);
                    // As the same reset of the client's own leaves for the server.
                    let way = sent_on(method, &segment(ACK).server_reset());
                    reason(&director, &segment(SYN));
                    reason(&director, &segment(ACK));
                    down(&mut director, 0);
                    director.servers[0].flags |= Server::RESET;
                    let asked = segment(flags).sized(777);
                    let (verdict, frame) = director.handle(&asked.frame());
                    // The place of a checksum that a device finishes stays where it is, so the client is next.
                    let reset = Verdict::transmit(Reason::Reset);
                    if !bare && Frame::BUFFER && verdict == reset {
                        continue;
                    }
                    assert_eq!(verdict.reason(), Some(Reason::ServerReset));
                    assert!(verdict.is_forwarded());
                    assert_eq!(frame, way, "{client} {method:?} {bare}");
                    assert_eq!(director.states(), [(0, "CLOSE")]);
                    for _ in 0..2 {
                        let (verdict, frame) = director.handle(&asked.frame());
                        assert_eq!(verdict, Verdict::transmit(Reason::Reset));
                        assert_eq!(frame, asked.reset().frame());
                    }
                    // A client that is told of something it no longer has ends it with the number that counts.
                    let (verdict, frame) = director.handle(&segment(ACK).server_reset().frame());
                    assert_eq!(verdict.reason(), Some(Reason::ServerReset));
                    assert_eq!(frame, way);
                }
            }
        }
    }
}

#[test]
fn a_segment_that_its_client_will_not_repeat_is_answered_too() {
    for (client, to) in FAMILIES {
        for holder in [Some(0), None] {
            let mut director = director(Protocol::Tcp, to, Method::Tunnel);
            reason(&director, &Draft::tcp(client, to, SYN));
            reason(&director, &Draft::tcp(client, to, ACK));
            down(&mut director, 0);
            director.servers[0].flags |= Server::RESET;
            let acknowledgement = Draft::tcp(client, to, ACK).sized(0);
            let mut frame = Frame::new(&acknowledgement.frame());
            frame.holder = holder;
            let verdict = director.forward(&mut frame);
            // Held, it comes in again after the server is told.
            let expected = holder.map_or(Reason::Reset, |_| Reason::ServerReset);
            assert_eq!(verdict.reason(), Some(expected));
            assert_eq!(frame.holder, holder.map(|_| 1));
            assert_eq!(reason(&director, &acknowledgement), Reason::Reset);
        }
    }
}

#[test]
fn a_server_that_is_told_nothing_leaves_the_reset_to_the_client() {
    let (client, to) = FAMILIES[0];
    for unreachable in [true, false] {
        let mut director = director(Protocol::Tcp, to, Method::Direct);
        reason(&director, &Draft::tcp(client, to, SYN));
        reason(&director, &Draft::tcp(client, to, ACK));
        down(&mut director, 0);
        director.servers[0].flags |= Server::RESET;
        if unreachable {
            let hop = director.servers[0].hop as usize;
            director.hops[hop].flags |= Hop::UNREACHABLE;
        } else {
            director.servers[0].hop = 0;
        }
        let segment = Draft::tcp(client, to, ACK);
        assert_eq!(reason(&director, &segment), Reason::Reset);
    }
}
