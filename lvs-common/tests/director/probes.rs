//! Probes on the service path: what leaves, what comes back, and what must not be taken for either.

use std::net::SocketAddr;

use lvs_common::abi::{Method, Pick, ProbeKey, ProbeRoute};
use lvs_common::connection::Protocol;
use lvs_common::probe::depart;
use lvs_common::verdict::{Action, Reason};

use super::frames::{ACK, DIRECTOR, Draft, SYN, at, wide};
use super::memory::{Director, INTERFACE};
use super::packet::Frame;

const OWN: [&str; 2] = ["10.0.0.250:50000", "[2001:db8:2::fa]:50000"];
const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const SERVER: [&str; 2] = ["10.0.0.1:80", "[2001:db8:2::1]:80"];
const PROBES: [u8; 6] = [2, 0, 0, 0, 9, 9];

const fn number(address: &SocketAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

/// A director with a service, one server, and a probe of it on its way, in a tunnel of this family.
fn probing(protocol: u8, family: usize, tunnel: Option<usize>) -> Director {
    let mut director = Director::new();
    for balanced in [Protocol::Tcp, Protocol::Udp] {
        let service = director.serve(balanced, at(VIRTUAL[family]), Pick::Rotate);
        director.add(service, at(SERVER[family]), Method::Direct, 1);
    }
    let (own, to) = (at(OWN[family]), at(VIRTUAL[family]));
    let (source, destination) = tunnel.map_or(([0; 16], [0; 16]), |tunnel| {
        (wide(at(OWN[tunnel]).ip()), wide(at(SERVER[tunnel]).ip()))
    });
    let echo = protocol != 6 && protocol != 17;
    let key = ProbeKey {
        virtual_address: wide(to.ip()),
        own_address: wide(own.ip()),
        virtual_port: if echo { 0 } else { to.port() }.into(),
        own_port: own.port().into(),
        protocol,
        family: number(&own),
        reserved: [0; 2],
    };
    let route = ProbeRoute {
        neighbour: wide(at(SERVER[family]).ip()),
        tunnel_source: source,
        tunnel_destination: destination,
        interface: 3,
        probe_interface: 9,
        probe_mac: PROBES,
        neighbour_family: number(&own),
        tunnel_family: tunnel.map_or(0, |tunnel| [4, 6][tunnel]),
    };
    director.probes.insert(key, route);
    director
}

/// What leaves for a frame of the probes.
fn departed(director: &Director, frame: &[u8]) -> Option<Vec<u8>> {
    let mut frame = Frame::new(frame);
    let route = depart(&mut frame, director)?;
    assert_eq!(route.interface, 3);
    Some(frame.bytes())
}

#[test]
fn a_probe_leaves_as_it_is_or_in_a_tunnel_of_either_family() {
    for family in 0..2 {
        let (own, to) = (OWN[family], VIRTUAL[family]);
        for (protocol, draft) in [(6, Draft::tcp(own, to, SYN)), (17, Draft::udp(own, to))] {
            let frame = draft.frame();
            let director = probing(protocol, family, None);
            assert_eq!(departed(&director, &frame), Some(frame.clone()));
            for tunnel in 0..2 {
                let director = probing(protocol, family, Some(tunnel));
                let inside = [4, 41][family];
                let outer = Draft::other(OWN[tunnel], SERVER[tunnel], inside, draft.packet());
                // Outer header and all that is in it; the Ethernet header is the kernel's to write.
                let outer = outer.with(|outer| outer.identification = 0);
                let left = departed(&director, &frame).unwrap();
                assert_eq!(left[14..], outer.packet(), "{family} in {tunnel}");
            }
        }
    }
}

#[test]
fn nothing_else_leaves() {
    for family in 0..2 {
        let director = probing(6, family, None);
        let (own, to) = (OWN[family], VIRTUAL[family]);
        let probe = Draft::tcp(own, to, SYN);
        for other in [
            Draft::udp(own, to),
            Draft::tcp(&own.replace("50000", "50001"), to, SYN),
            Draft::tcp(own, &to.replace(":80", ":81"), SYN),
            Draft::tcp(own, SERVER[family], SYN),
            probe.clone().with(|draft| draft.fragment = Some((0, 16))),
        ] {
            assert_eq!(departed(&director, &other.frame()), None, "{other:?}");
        }
        let whole = probe.frame();
        for length in 0..whole.len() {
            assert_eq!(departed(&director, &whole[..length]), None);
        }
    }
}

#[test]
fn an_answer_is_handed_in_as_it_is() {
    for family in 0..2 {
        let (own, to) = (OWN[family], VIRTUAL[family]);
        for (protocol, draft) in [
            (6, Draft::tcp(to, own, SYN | ACK)),
            (6, Draft::tcp(to, own, ACK)),
            (17, Draft::udp(to, own)),
        ] {
            let mut director = probing(protocol, family, None);
            director.know_vlans(INTERFACE, &[5]);
            director.know_vlans(INTERFACE, &[6, 7]);
            let inside = draft.clone().with(|draft| draft.macs = (PROBES, DIRECTOR));
            for tags in [vec![], vec![5], vec![6, 7]] {
                let came = draft.clone().with(|draft| draft.tags = tags);
                let (verdict, after) = director.handle(&came.frame());
                assert_eq!(verdict.reason(), Some(Reason::Probe), "{came:?}");
                assert_eq!(verdict.action(), Action::Redirect { interface: 9 });
                assert_eq!(after, inside.frame());
            }
            for other in [
                &own.replace("50000", "50001"),
                // Below all ports of probes.
                &own.replace("50000", "40000"),
            ] {
                let stray = draft.clone().with(|draft| draft.to = at(other));
                let (verdict, after) = director.handle(&stray.frame());
                assert_eq!(verdict.reason(), Some(Reason::NoConnection), "{stray:?}");
                assert_eq!(after, stray.frame());
            }
        }
    }
}

#[test]
fn an_answer_finds_its_probe_where_its_address_looks_like_a_virtual_one() {
    for family in 0..2 {
        let mut director = probing(6, family, None);
        director.serve(Protocol::Tcp, at(OWN[family]), Pick::Rotate);
        let own = OWN[family].replace("50000", "50001");
        let key = *director.probes.keys().next().unwrap();
        let route = director.probes[&key];
        let own_port = 50_001.into();
        director.probes.insert(ProbeKey { own_port, ..key }, route);
        let answer = Draft::tcp(VIRTUAL[family], &own, SYN | ACK);
        let (verdict, _) = director.handle(&answer.frame());
        assert_eq!(verdict.reason(), Some(Reason::Probe));
    }
}

#[test]
fn an_error_about_a_probe_and_an_echo_reply_are_handed_in() {
    for family in 0..2 {
        let (own, to) = (OWN[family], VIRTUAL[family]);
        let (unreachable, reply, icmp) = [((3, 3, 0), 0, 1), ((1, 4, 0), 129, 58)][family];
        let director = probing(17, family, None);
        let about = Draft::udp(own, to).packet();
        let error = Draft::icmp(to, own, unreachable, about);
        let (verdict, after) = director.handle(&error.frame());
        assert_eq!(verdict.reason(), Some(Reason::Probe), "{error:?}");
        let inside = error.with(|draft| draft.macs = (PROBES, DIRECTOR));
        assert_eq!(after, inside.frame());

        let director = probing(icmp, family, None);
        let ours = Draft::icmp(to, own, (reply, 0, 50_000 << 16 | 1), vec![7; 56]);
        let (verdict, _) = director.handle(&ours.frame());
        assert_eq!(verdict.reason(), Some(Reason::Probe));
        let other = Draft::icmp(to, own, (reply, 0, 50_001 << 16 | 1), vec![7; 56]);
        let (verdict, after) = director.handle(&other.frame());
        assert_eq!(verdict.reason(), Some(Reason::IcmpOther));
        assert_eq!(after, other.frame());
    }
}

#[test]
fn a_probe_that_comes_back_is_nobody_s_connection() {
    for family in 0..2 {
        let (own, to) = (OWN[family], VIRTUAL[family]);
        for (protocol, draft) in [(6, Draft::tcp(own, to, SYN)), (17, Draft::udp(own, to))] {
            let director = probing(protocol, family, None);
            let (verdict, _) = director.handle(&draft.frame());
            assert_eq!(verdict.reason(), Some(Reason::ProbeReturned));
            for server in 0..2 {
                assert_eq!(director.connections(server), (0, 0));
            }
            // Who comes from another port is a client.
            let client = draft.with(|draft| draft.from.set_port(50_001));
            let (verdict, _) = director.handle(&client.frame());
            assert_eq!(verdict.reason(), Some(Reason::Direct));
        }
    }
}
