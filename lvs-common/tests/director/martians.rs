//! Packets from addresses that no host on a wire has.

use lvs_common::abi::{Method, Pick};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason, Verdict};

use super::frames::{ACK, Draft, SYN, at};
use super::memory::Director;

const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const REAL: [&str; 2] = ["10.0.0.1:80", "[2001:db8:2::1]:80"];

/// Clients of a family, as packets name them.
type Sources = &'static [&'static str];

const MARTIANS: [Sources; 2] = [
    &[
        "0.0.0.0:9",
        "127.0.0.1:9",
        "127.255.255.255:9",
        "224.0.0.1:9",
        "239.255.255.255:9",
        "255.255.255.255:9",
    ],
    &[
        "[::]:9",
        "[::1]:9",
        "[::ffff:127.0.0.1]:9",
        "[ff02::1]:9",
        "[ffff::1]:9",
    ],
];

const HOSTS: [Sources; 2] = [
    &[
        "0.0.0.1:9",
        "0.1.2.3:9",
        "0.255.255.255:9",
        "1.0.0.0:9",
        "126.255.255.255:9",
        "128.0.0.0:9",
        "223.255.255.255:9",
        "240.0.0.0:9",
        "255.255.255.254:9",
    ],
    &[
        "[::2]:9",
        "[::1:0:0:0:1]:9",
        "[64:ff9b::1]:9",
        "[fe80::1]:9",
    ],
];

fn director(family: usize, protocol: Protocol, method: Method) -> (Director, u32) {
    let mut director = Director::new();
    let service = director.serve(protocol, at(VIRTUAL[family]), Pick::Rotate);
    director.add(service, at(REAL[family]), method, 1);
    (director, service)
}

fn first_packet(protocol: Protocol, from: &str, to: &str) -> Draft {
    match protocol {
        Protocol::Tcp => Draft::tcp(from, to, SYN),
        Protocol::Udp => Draft::udp(from, to),
        Protocol::Sctp => Draft::sctp(from, to, 1),
    }
}

#[test]
fn they_begin_no_connection() {
    for (family, protocol, method, persistence) in [
        (0, Protocol::Tcp, Method::Direct, 0),
        (0, Protocol::Udp, Method::Nat, 0),
        (0, Protocol::Sctp, Method::Tunnel, 0),
        (0, Protocol::Tcp, Method::Direct, 60),
        (1, Protocol::Tcp, Method::Direct, 0),
        (1, Protocol::Udp, Method::Nat, 60),
    ] {
        let (mut director, service) = director(family, protocol, method);
        director.edit(service, |plan, _| plan.persistence = persistence);
        for from in MARTIANS[family] {
            let packet = first_packet(protocol, from, VIRTUAL[family]);
            let (verdict, _) = director.handle(&packet.frame());
            assert_eq!(verdict, Verdict::drop(Reason::Martian), "{from}");
        }
        assert_eq!((director.states(), director.templates(0)), (vec![], 0));
        for from in HOSTS[family] {
            let packet = first_packet(protocol, from, VIRTUAL[family]);
            let (verdict, _) = director.handle(&packet.frame());
            assert_eq!(verdict.action(), Action::Transmit, "{from}");
        }
        assert_eq!(director.states().len(), HOSTS[family].len());
    }
}

#[test]
fn they_go_on_with_none_either() {
    for family in [0, 1] {
        let (director, _) = director(family, Protocol::Tcp, Method::Direct);
        for from in MARTIANS[family] {
            let packet = Draft::tcp(from, VIRTUAL[family], ACK);
            let (verdict, _) = director.handle(&packet.frame());
            assert_eq!(verdict, Verdict::drop(Reason::Martian), "{from}");
        }
    }
}

#[test]
fn what_is_for_no_service_is_left_to_the_kernel() {
    for (family, to) in [(0, "192.0.2.1:81"), (1, "[2001:db8:1::1]:81")] {
        let (director, _) = director(family, Protocol::Tcp, Method::Direct);
        for from in MARTIANS[family] {
            let (verdict, _) = director.handle(&Draft::tcp(from, to, SYN).frame());
            assert_eq!(verdict, Verdict::pass(Reason::NoService), "{from}");
        }
    }
}
