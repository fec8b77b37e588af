//! Settings of `net.ipv4.vs`: their effects on packets.

use lvs_common::abi::{Config, Method, Pick, Server};
use lvs_common::connection::Protocol;
use lvs_common::verdict::Reason;

use super::frames::{ACK, Draft, FIN, RST, SYN, at};
use super::memory::Director;

const CLIENT: &str = "198.51.100.7:40000";
const VIRTUAL: &str = "192.0.2.1:80";

/// Two servers in turn.
fn two_servers(protocol: Protocol, method: Method) -> Director {
    let mut director = Director::new();
    let service = director.serve(protocol, at(VIRTUAL), Pick::Rotate);
    for server in ["10.0.0.1:80", "10.0.0.2:80"] {
        director.add(service, at(server), method, 1);
    }
    director
}

fn go(director: &Director, flags: u8) -> Reason {
    let (verdict, _) = director.handle(&Draft::tcp(CLIENT, VIRTUAL, flags).frame());
    verdict.reason().expect("a known reason")
}

/// Connections that the servers got, one after the other on the client's same port.
fn connections(director: &Director) -> [u64; 2] {
    [0, 1].map(|server| director.stats(server).connections)
}

#[test]
fn a_syn_after_the_end_begins_a_connection_as_conn_reuse_mode_says() {
    for (mode, method, end, begins) in [
        (1, Method::Direct, RST, true),
        (1, Method::Direct, FIN, false),
        (1, Method::Nat, RST, true),
        (0, Method::Direct, RST, false),
        (0, Method::Nat, RST, false),
        (2, Method::Direct, RST, true),
        (2, Method::Direct, FIN, true),
        (2, Method::Nat, RST, true),
        (3, Method::Tunnel, FIN, true),
        // CLOSE_WAIT: the server has not closed its side.
        (2, Method::Nat, FIN, false),
    ] {
        let mut director = two_servers(Protocol::Tcp, method);
        director.config.options |= Config::reuse(mode);
        for flags in [SYN, ACK, end, SYN] {
            go(&director, flags);
        }
        let got = connections(&director);
        let expected = if begins { 2 } else { 1 };
        assert_eq!(got.iter().sum::<u64>(), expected, "{mode} {method:?} {end}");
    }
}

#[test]
fn any_segment_but_a_reset_begins_a_connection_with_sloppy_tcp() {
    for flags in [0, ACK, FIN, RST, SYN | RST, ACK | RST] {
        let mut director = two_servers(Protocol::Tcp, Method::Direct);
        assert_eq!(go(&director, flags), Reason::NoConnection);
        director.config.options |= Config::SLOPPY_TCP;
        let expected = if flags & RST == 0 {
            Reason::Direct
        } else {
            Reason::NoConnection
        };
        assert_eq!(go(&director, flags), expected, "{flags}");
    }
    let mut director = two_servers(Protocol::Tcp, Method::Direct);
    director.config.options |= Config::SLOPPY_TCP;
    go(&director, ACK);
    assert_eq!(director.states(), [(0, "ESTABLISHED")]);
}

#[test]
fn any_packet_but_an_abort_begins_an_association_with_sloppy_sctp() {
    const DATA: u8 = 0;
    const ABORT: u8 = 6;
    for (chunk, begins) in [(DATA, true), (ABORT, false)] {
        let mut director = two_servers(Protocol::Sctp, Method::Direct);
        let go = |director: &Director| {
            let (verdict, _) = director.handle(&Draft::sctp(CLIENT, VIRTUAL, chunk).frame());
            verdict.reason().expect("a known reason")
        };
        assert_eq!(go(&director), Reason::NoConnection);
        director.config.options |= Config::SLOPPY_TCP;
        assert_eq!(go(&director), Reason::NoConnection);
        director.config.options |= Config::SLOPPY_SCTP;
        let expected = if begins {
            Reason::Direct
        } else {
            Reason::NoConnection
        };
        assert_eq!(go(&director), expected, "{chunk}");
    }
}

#[test]
fn a_template_leads_nobody_to_a_quiesced_server_with_expire_quiescent_template() {
    for expires in [false, true] {
        let mut director = Director::new();
        let service = director.serve(Protocol::Tcp, at(VIRTUAL), Pick::Rotate);
        for server in ["10.0.0.1:80", "10.0.0.2:80"] {
            director.add(service, at(server), Method::Direct, 1);
        }
        director.edit(service, |plan, _| {
            plan.persistence = 60;
            plan.prefix = 32;
        });
        go(&director, SYN);
        let first = usize::from(connections(&director)[1] == 1);
        director.edit(service, |_, members| members[first].weight = 0);
        if expires {
            director.servers[first].flags |= Server::NO_TEMPLATES;
        }
        // A connection of the server goes on all the same.
        assert_eq!(go(&director, ACK), Reason::Direct);
        let other = Draft::tcp("198.51.100.7:40001", VIRTUAL, SYN);
        director.handle(&other.frame());
        let mut expected = [0, 0];
        expected[first] = 1;
        expected[if expires { 1 - first } else { first }] += 1;
        assert_eq!(connections(&director), expected);
    }
}
