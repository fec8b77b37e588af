//! Replies of NAT connections go where the kernel's routes lead.

use std::net::IpAddr;

use lvs_common::abi::{Interface, Mac, Method, Pick};
use lvs_common::connection::Protocol;
use lvs_common::packet::Packet as _;
use lvs_common::routes::Lookup;
use lvs_common::verdict::{Action, Reason, Verdict};

use super::frames::{ACK, Draft, FIN, SYN, at};
use super::memory::{Director, INTERFACE, host};
use super::packet::Frame;
use super::route_table::Way;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const REAL: [&str; 2] = ["10.0.0.1:80", "[2001:db8:2::1]:80"];
const OTHER: u32 = INTERFACE + 5;
const ROUTER: Mac = [2, 0, 0, 0, 7, 7];
const STRANGER: Mac = [2, 0, 0, 0, 9, 9];

fn director(family: usize) -> Director {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at(VIRTUAL[family]), Pick::Rotate);
    director.add(service, at(REAL[family]), Method::Nat, 1);
    director
}

fn client(family: usize) -> IpAddr {
    at(CLIENT[family]).ip()
}

fn request(family: usize, flags: u8) -> Draft {
    Draft::tcp(CLIENT[family], VIRTUAL[family], flags)
}

fn reply(family: usize, flags: u8) -> Draft {
    Draft::tcp(REAL[family], CLIENT[family], flags)
}

/// Has a client finish the handshake.
fn connect(director: &Director, family: usize) {
    for draft in [
        request(family, SYN),
        reply(family, SYN | ACK),
        request(family, ACK),
    ] {
        let (verdict, _) = director.handle(&draft.frame());
        assert!(verdict.is_forwarded(), "{verdict:?}");
    }
}

/// Interface and Ethernet address that a reply goes to.
fn answered(director: &Director, family: usize) -> Result<(u32, Mac), Verdict> {
    let (verdict, after) = director.handle(&reply(family, ACK).frame());
    let interface = match verdict.action() {
        Action::Transmit => INTERFACE,
        Action::Redirect { interface } => interface,
        _ => return Err(verdict),
    };
    assert_eq!(verdict.reason(), Some(Reason::NatReply));
    let expected = Draft::tcp(VIRTUAL[family], CLIENT[family], ACK).returned();
    assert_eq!(after[6..], expected.frame()[6..]);
    Ok((interface, after[..6].try_into().expect("an address")))
}

#[test]
fn the_first_packet_of_a_connection_asks_once() {
    for family in [0, 1] {
        let director = director(family);
        connect(&director, family);
        for _ in 0..3 {
            answered(&director, family).unwrap();
            director.handle(&request(family, ACK).frame());
        }
        assert_eq!(director.routes.take_lookups(), 1);
    }
}

#[test]
fn by_direct_routing_nobody_is_asked() {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at(VIRTUAL[0]), Pick::Rotate);
    director.add(service, at(REAL[0]), Method::Direct, 1);
    connect_direct(&director);
    assert_eq!(director.routes.take_lookups(), 0);
}

fn connect_direct(director: &Director) {
    for flags in [SYN, ACK, FIN] {
        let (verdict, _) = director.handle(&request(0, flags).frame());
        assert_eq!(verdict, Verdict::transmit(Reason::Direct));
    }
}

#[test]
fn another_route_is_followed_while_the_client_is_silent() {
    for family in [0, 1] {
        let mut director = director(family);
        connect(&director, family);
        director.change_routes(|routes| {
            routes.add(Way::host(client(family), OTHER, ROUTER));
        });
        for _ in 0..3 {
            assert_eq!(answered(&director, family), Ok((OTHER, ROUTER)));
        }
        assert_eq!(director.routes.take_lookups(), 2, "one before, one after");
    }
}

#[test]
fn whoever_sends_in_a_clients_name_gets_no_reply() {
    for family in [0, 1] {
        let mut director = director(family);
        director
            .routes
            .add(Way::host(client(family), OTHER, ROUTER));
        for (interface, mac) in [(OTHER, ROUTER), (OTHER + 1, STRANGER), (OTHER, [0xff; 6])] {
            director.know_vlans(interface, &[44]);
            for flags in [SYN, ACK] {
                let spoofed = request(family, flags).with(|draft| {
                    draft.macs.1 = mac;
                    draft.tags = vec![44];
                });
                director.handle_by(interface, &spoofed.frame());
                director.handle(&reply(family, SYN | ACK).frame());
            }
            assert_eq!(answered(&director, family), Ok((OTHER, ROUTER)));
        }
    }
}

#[test]
fn a_route_can_depend_on_the_virtual_address() {
    let mut director = director(0);
    let service = director.serve(Protocol::Tcp, at("192.0.2.2:80"), Pick::Rotate);
    director.add(service, at("10.0.0.2:80"), Method::Nat, 1);
    let way = Way::host(client(0), OTHER, ROUTER);
    let from = Some(at("192.0.2.2:80").ip());
    director.routes.add(Way { from, ..way });
    for (to, real, expected) in [
        (VIRTUAL[0], REAL[0], Action::Transmit),
        (
            "192.0.2.2:80",
            "10.0.0.2:80",
            Action::Redirect { interface: OTHER },
        ),
    ] {
        director.handle(&Draft::tcp(CLIENT[0], to, SYN).frame());
        let (verdict, _) = director.handle(&Draft::tcp(real, CLIENT[0], SYN | ACK).frame());
        assert_eq!(verdict.action(), expected);
    }
}

#[test]
fn a_router_that_is_not_known_yet_is_asked_for() {
    for family in [0, 1] {
        let director = director(family);
        let router: IpAddr = ["10.1.0.1", "fd01::1"][family].parse().unwrap();
        let way = Way::host(client(family), OTHER, ROUTER);
        director.routes.add(Way {
            router: Some(router),
            neighbour: None,
            ..way
        });
        let wanted = host(router, OTHER);
        // The server gets the request all the same, and by its answer the router may be known.
        let (verdict, _) = director.handle(&request(family, SYN).frame());
        assert_eq!(verdict.reason(), Some(Reason::Nat));
        assert_eq!(*director.requested.lock().unwrap(), [wanted]);
        for flags in [SYN | ACK, ACK] {
            let (verdict, after) = director.handle(&reply(family, flags).frame());
            if Frame::BUFFER {
                assert_eq!(verdict, Verdict::neighbour(OTHER, Reason::NatReply));
                let expected = Draft::tcp(VIRTUAL[family], CLIENT[family], flags).returned();
                assert_eq!(after[12..], expected.frame()[12..], "it waits as it leaves");
            } else {
                assert_eq!(verdict, Verdict::drop(Reason::ClientUnresolved));
            }
        }
        assert_eq!(*director.requested.lock().unwrap(), [wanted; 3]);
        director.routes.add(way);
        assert_eq!(answered(&director, family), Ok((OTHER, ROUTER)));
    }
}

#[test]
fn a_client_that_no_route_leads_to_is_not_connected() {
    for family in [0, 1] {
        for code in [1, 2, 3, Lookup::NOT_FORWARDED, 6] {
            let mut director = director(family);
            let way = Way::host(client(family), OTHER, ROUTER);
            director.routes.add(Way { code, ..way });
            let (verdict, _) = director.handle(&request(family, SYN).frame());
            assert_eq!(verdict, Verdict::drop(Reason::NoRouteToClient));
            assert_eq!(director.states(), []);
            director.routes.add(way);
            connect(&director, family);
            director.change_routes(|routes| routes.add(Way { code, ..way }));
            let lost = Verdict::drop(Reason::NoRouteToClient);
            assert_eq!(answered(&director, family), Err(lost));
            director.change_routes(|routes| routes.add(way));
            assert_eq!(answered(&director, family), Ok((OTHER, ROUTER)));
        }
    }
}

#[test]
fn where_nothing_is_forwarded_the_loopback_interface_asks() {
    for family in [0, 1] {
        let director = director(family);
        director.routes.turn_off(&[INTERFACE]);
        director
            .routes
            .add(Way::host(client(family), OTHER, ROUTER));
        connect(&director, family);
        assert_eq!(answered(&director, family), Ok((OTHER, ROUTER)));
        let director = self::director(family);
        director.routes.turn_off(&[INTERFACE, 1]);
        let (verdict, _) = director.handle(&request(family, SYN).frame());
        assert_eq!(verdict, Verdict::drop(Reason::ForwardingOff));
    }
}

#[test]
fn a_connection_of_another_director_asks_with_its_first_reply() {
    let director = director(0);
    connect(&director, 0);
    director.forget_clients();
    director.routes.take_lookups();
    for _ in 0..2 {
        answered(&director, 0).unwrap();
    }
    assert_eq!(director.routes.take_lookups(), 1);
}

#[test]
fn an_error_of_the_server_goes_where_the_routes_lead() {
    let mut director = director(0);
    connect(&director, 0);
    director.change_routes(|routes| routes.add(Way::host(client(0), OTHER, ROUTER)));
    let mut about = Draft::tcp(CLIENT[0], REAL[0], ACK).packet();
    about.truncate(28);
    let error = Draft::icmp(REAL[0], CLIENT[0], (3, 1, 0), about);
    let (verdict, after) = director.handle(&error.frame());
    assert_eq!(verdict, Verdict::redirect(OTHER, Reason::IcmpToClient));
    assert_eq!(after[..6], ROUTER);
}

#[test]
fn a_client_with_a_link_local_address_is_answered_on_its_link() {
    let mut director = director(1);
    director.set_flags(OTHER, 0);
    let client = "[fe80::7]:40000";
    for draft in [
        Draft::tcp(client, VIRTUAL[1], SYN),
        Draft::tcp(REAL[1], client, SYN | ACK),
    ] {
        let (verdict, _) = director.handle_by(OTHER, &draft.frame());
        assert!(verdict.is_forwarded());
    }
    let (verdict, _) = director.handle(&Draft::tcp(REAL[1], client, ACK).frame());
    assert_eq!(verdict, Verdict::redirect(OTHER, Reason::NatReply));
}

#[test]
fn a_bit_of_another_interface_costs_no_lookup() {
    let mut director = director(0);
    director.set_flags(OTHER, Interface::RP_STRICT);
    connect(&director, 0);
    assert_eq!(director.routes.take_lookups(), 1);
}
