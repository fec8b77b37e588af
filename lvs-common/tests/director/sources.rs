//! Sources that the kernel would not let through to IPVS.

use lvs_common::abi::{Interface, Mac, Method, Pick};
use lvs_common::connection::Protocol;
use lvs_common::routes::Lookup;
use lvs_common::verdict::{Reason, Verdict};

use super::frames::{ACK, Draft, FIN, RST, SYN, at};
use super::memory::{Director, INTERFACE};
use super::route_table::Way;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const REAL: [&str; 2] = ["10.0.0.1:80", "[2001:db8:2::1]:80"];
const OWN: [&str; 2] = ["192.0.2.254:40000", "[2001:db8:1::fe]:40000"];
const METHODS: [Method; 3] = [Method::Direct, Method::Nat, Method::Tunnel];
const OTHER: u32 = INTERFACE + 5;
const ROUTER: Mac = [2, 0, 0, 0, 7, 7];

fn director(family: usize, method: Method) -> Director {
    let mut director = Director::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let service = director.serve(protocol, at(VIRTUAL[family]), Pick::Rotate);
        director.add(service, at(REAL[family]), method, 1);
    }
    director.hold(at(OWN[family]).ip());
    director
}

fn syn(from: &str, family: usize) -> Vec<u8> {
    Draft::tcp(from, VIRTUAL[family], SYN).frame()
}

/// The reason why a packet is dropped, if it is.
fn refused((verdict, _): (Verdict, Vec<u8>)) -> Option<Reason> {
    let reason = verdict.reason().expect("a reason");
    (verdict == Verdict::drop(reason)).then_some(reason)
}

#[test]
fn nobody_else_has_the_directors_own_addresses() {
    for family in [0, 1] {
        for method in METHODS {
            let mut director = director(family, method);
            for own in [OWN[family], VIRTUAL[family]] {
                for frame in [
                    syn(own, family),
                    Draft::udp(own, VIRTUAL[family]).frame(),
                    Draft::tcp(own, VIRTUAL[family], ACK).frame(),
                ] {
                    assert_eq!(refused(director.handle(&frame)), Some(Reason::OwnSource));
                }
            }
            assert_eq!(director.states(), []);
            if method == Method::Nat {
                continue;
            }
            director.set_flags(INTERFACE, Interface::ACCEPT_LOCAL);
            assert_eq!(refused(director.handle(&syn(OWN[family], family))), None);
        }
    }
}

#[test]
fn loopback_addresses_come_in_where_the_interface_accepts_them() {
    let mut director = director(0, Method::Direct);
    let frame = syn("127.1.2.3:9", 0);
    assert_eq!(refused(director.handle(&frame)), Some(Reason::Martian));
    director.set_flags(INTERFACE, Interface::ROUTE_LOCALNET);
    assert_eq!(refused(director.handle(&frame)), None);
    let frame = syn("127.0.0.1:9", 0);
    director.hold([127, 0, 0, 1].into());
    assert_eq!(refused(director.handle(&frame)), Some(Reason::OwnSource));
}

#[test]
fn a_reverse_path_is_asked_for_where_the_interface_wants_one() {
    let client = at(CLIENT[0]).ip();
    let here = Way::host(client, INTERFACE, ROUTER);
    let there = Way::host(client, OTHER, ROUTER);
    let unknown = Way {
        neighbour: None,
        ..here
    };
    let none = |code| Way { code, ..here };
    let strict = Interface::RP_STRICT;
    let loose = Interface::RP_LOOSE;
    for method in METHODS {
        let cases = [
            (here, 0, false),
            (there, 0, false),
            (here, strict, false),
            (unknown, strict, false),
            (there, strict, true),
            (here, loose, false),
            (there, loose, false),
            (unknown, loose, false),
            (none(Lookup::NOT_FORWARDED), strict, true),
            (none(Lookup::NOT_FORWARDED), loose, true),
            (none(1), strict, true),
            (none(1), loose, true),
        ];
        let both = |common| cases.map(|case| (case, common));
        for ((way, flags, refusal), common) in [false, true].map(both).into_iter().flatten() {
            let mut director = director(0, method);
            director.routes.add(way);
            if common {
                director.set_common_checks(flags);
            } else {
                director.set_flags(INTERFACE, flags);
            }
            let expected = refusal.then_some(Reason::RpFilter);
            let sentence = format!("{way:?} with {flags} by {method:?}, common: {common}");
            let frame = syn(CLIENT[0], 0);
            assert_eq!(refused(director.handle(&frame)), expected, "{sentence}");
            let persistent = Draft::udp(CLIENT[0], VIRTUAL[0]);
            director.edit(1, |plan, _| plan.persistence = 60);
            let end = director.handle(&persistent.frame());
            assert_eq!(refused(end), expected, "{sentence}");
            let entries = if refusal { 0 } else { 2 };
            assert_eq!(director.states().len(), entries, "{sentence}");
            assert_eq!(director.templates(1), u32::from(!refusal), "{sentence}");
        }
    }
}

#[test]
fn a_way_back_of_equal_cost_is_one() {
    let client = at(CLIENT[0]).ip();
    let router = Some([203, 0, 113, 1].into());
    let strict = Interface::RP_STRICT;
    for method in METHODS {
        // The groups of both interfaces, the router of the way by the other one, what is not known of that one.
        for (groups, router, kind, refusal) in [
            ([3, 3], router, 0, false),
            ([3, 4], router, 0, true),
            ([0, 0], router, 0, true),
            // On the network of the other interface nobody else has an address.
            ([3, 3], None, 0, true),
            ([3, 3], None, Interface::NO_ETHERNET, false),
        ] {
            let mut director = director(0, method);
            let way = Way::host(client, OTHER, ROUTER);
            director.routes.add(Way { router, ..way });
            director.set_flags(INTERFACE, strict);
            director.set_flags(OTHER, strict | kind);
            for (index, group) in [INTERFACE, OTHER].into_iter().zip(groups) {
                let interface = director.interfaces.get_mut(&index).expect("just set");
                interface.equal_cost = group;
            }
            let expected = refusal.then_some(Reason::RpFilter);
            let end = director.handle(&syn(CLIENT[0], 0));
            assert_eq!(refused(end), expected, "{groups:?} {router:?} {method:?}");
        }
    }
}

#[test]
fn replies_by_another_way_to_the_server_of_equal_cost_are_accepted() {
    for (groups, refusal) in [([3, 3], None), ([3, 0], Some(Reason::RpFilter))] {
        let mut director = director(0, Method::Nat);
        for (index, group) in [INTERFACE, OTHER].into_iter().zip(groups) {
            director.set_flags(index, Interface::RP_STRICT);
            let interface = director.interfaces.get_mut(&index).expect("just set");
            interface.equal_cost = group;
        }
        director.handle(&syn(CLIENT[0], 0));
        let reply = Draft::tcp(REAL[0], CLIENT[0], SYN | ACK).frame();
        assert_eq!(refused(director.handle_by(OTHER, &reply)), refusal);
    }
}

#[test]
fn no_route_back_is_no_reason_where_the_interface_does_not_ask() {
    for method in [Method::Direct, Method::Tunnel] {
        for code in [1, Lookup::NOT_FORWARDED] {
            let mut director = director(0, method);
            let way = Way::host(at(CLIENT[0]).ip(), INTERFACE, ROUTER);
            director.routes.add(Way { code, ..way });
            assert_eq!(refused(director.handle(&syn(CLIENT[0], 0))), None);
            // Nothing is forwarded, so that the kernel tells no way.
            director.set_flags(INTERFACE, Interface::RP_STRICT);
            director.routes.turn_off(&[INTERFACE, 1]);
            let frame = syn("198.51.100.8:9", 0);
            assert_eq!(refused(director.handle(&frame)), None);
        }
    }
}

#[test]
fn a_connection_goes_on_by_another_interface_if_the_routes_do_too() {
    for method in METHODS {
        let mut director = director(0, method);
        director.set_flags(OTHER, Interface::RP_STRICT);
        director.handle(&syn(CLIENT[0], 0));
        director.handle(&Draft::tcp(REAL[0], CLIENT[0], SYN | ACK).frame());
        director.handle(&Draft::tcp(CLIENT[0], VIRTUAL[0], ACK).frame());
        let states = director.states();
        for flags in [RST, FIN, SYN] {
            let spoofed = Draft::tcp(CLIENT[0], VIRTUAL[0], flags);
            let end = director.handle_by(OTHER, &spoofed.frame());
            assert_eq!(refused(end), Some(Reason::RpFilter), "{method:?}");
            assert_eq!(director.states(), states);
        }
        director.change_routes(|routes| {
            routes.add(Way::host(at(CLIENT[0]).ip(), OTHER, ROUTER));
        });
        let moved = Draft::tcp(CLIENT[0], VIRTUAL[0], FIN);
        assert_eq!(refused(director.handle_by(OTHER, &moved.frame())), None);
        assert_ne!(director.states(), states);
    }
}

#[test]
fn a_spoofed_segment_of_nat_is_refused_whatever_it_says() {
    let mut director = director(0, Method::Nat);
    director.set_flags(OTHER, Interface::RP_STRICT);
    director.handle(&syn(CLIENT[0], 0));
    let spoofed = Draft::tcp(CLIENT[0], VIRTUAL[0], ACK);
    for _ in 0..3 {
        let end = director.handle_by(OTHER, &spoofed.frame());
        assert_eq!(refused(end), Some(Reason::RpFilter));
    }
}

#[test]
fn a_header_with_a_wrong_checksum_begins_nothing() {
    for method in METHODS {
        let director = director(0, method);
        for options in [vec![], vec![1, 1, 1, 0], vec![1; 40]] {
            for draft in [
                Draft::tcp(CLIENT[0], VIRTUAL[0], SYN),
                Draft::udp(CLIENT[0], VIRTUAL[0]),
                Draft::tcp("198.51.100.9:9", VIRTUAL[0], ACK),
            ] {
                let draft = draft.with(|draft| draft.options.clone_from(&options));
                for changed in [10, 8, 15] {
                    let mut frame = draft.frame();
                    frame[14 + changed] ^= 0x40;
                    let end = director.handle(&frame);
                    assert_eq!(refused(end), Some(Reason::BadChecksum), "byte {changed}");
                }
                let mut frame = draft.frame();
                if !options.is_empty() {
                    frame[14 + 19 + options.len()] ^= 0x40;
                    let end = director.handle(&frame);
                    assert_eq!(refused(end), Some(Reason::BadChecksum), "the last option");
                }
            }
        }
        assert_eq!(director.states(), []);
    }
}

/// A route that the sender chose, and options that are no options.
#[test]
fn options_that_the_kernel_refuses_begin_nothing() {
    let refuses: [&[u8]; 10] = [
        &[131, 3, 4, 0],
        &[131, 7, 8, 198, 51, 100, 9, 0],
        &[137, 7, 4, 198, 51, 100, 9, 0],
        &[1, 1, 7, 3, 4, 131, 3, 4],
        &[7, 0, 4, 0],
        &[7, 1, 4, 0],
        &[7, 5, 4, 0],
        &[1, 1, 1, 7],
        &[148, 4, 0, 0, 68, 255, 5, 0],
        &[&[1; 39][..], &[7]].concat(),
    ];
    let allows: [&[u8]; 8] = [
        &[1; 40],
        &[0, 131, 3, 4],
        &[7, 3, 4, 0],
        &[
            7, 39, 4, 131, 137, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
        &[148, 4, 0, 0],
        &[130, 2, 7, 2],
        &[68, 8, 5, 0, 0, 0, 0, 0],
        &[1, 1, 7, 2, 0, 131, 137, 7],
    ];
    for method in METHODS {
        let drafts = [
            Draft::tcp(CLIENT[0], VIRTUAL[0], SYN),
            Draft::udp(CLIENT[0], VIRTUAL[0]),
        ];
        for draft in drafts {
            let with = |options: &[u8]| draft.clone().with(|draft| draft.options = options.into());
            let director = director(0, method);
            for options in refuses {
                let end = director.handle(&with(options).frame());
                assert_eq!(refused(end), Some(Reason::BadOptions), "{options:?}");
            }
            assert_eq!(director.states(), []);
            for options in allows {
                let (verdict, _) = director.handle(&with(options).frame());
                assert!(verdict.is_forwarded(), "{verdict:?} {options:?}");
            }
        }
    }
}

#[test]
fn frames_for_a_group_are_not_balanced() {
    for family in [0, 1] {
        for method in METHODS {
            let director = director(family, method);
            let group = |draft: Draft| draft.with(|draft| draft.macs.0 = [0xff; 6]).frame();
            let first = Draft::tcp(CLIENT[family], VIRTUAL[family], SYN);
            for draft in [&first, &Draft::udp(CLIENT[family], VIRTUAL[family])] {
                let (verdict, _) = director.handle(&group(draft.clone()));
                assert_eq!(verdict, Verdict::pass(Reason::GroupFrame));
            }
            assert_eq!(director.states(), []);
            director.handle(&first.frame());
            let more = Draft::tcp(CLIENT[family], VIRTUAL[family], ACK);
            let (verdict, _) = director.handle(&group(more));
            assert_eq!(verdict, Verdict::pass(Reason::GroupFrame));
            if method == Method::Nat {
                let reply = Draft::tcp(REAL[family], CLIENT[family], SYN | ACK);
                let (verdict, _) = director.handle(&group(reply));
                assert_eq!(verdict, Verdict::pass(Reason::GroupFrame));
            }
        }
    }
}

#[test]
fn no_answer_goes_to_a_group_or_to_nobody() {
    for source in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0; 6]] {
        let mut director = director(0, Method::Direct);
        director.edit(0, |_, members| members.clear());
        let unserved = Draft::tcp(CLIENT[0], VIRTUAL[0], SYN).with(|draft| draft.macs.1 = source);
        let end = director.handle(&unserved.frame());
        assert_eq!(refused(end), Some(Reason::Unanswerable));
    }
}

/// Nobody else ends a client's connection: what comes by another interface than the client's packets ends one only
/// where the routes lead to the client there.
#[test]
fn a_clients_address_from_elsewhere_ends_nothing() {
    for family in [0, 1] {
        for method in METHODS {
            let by = |flags| Draft::tcp(CLIENT[family], VIRTUAL[family], flags).frame();
            let established = || {
                let director = director(family, method);
                let way = Way::host(at(CLIENT[family]).ip(), INTERFACE, ROUTER);
                director.routes.add(way);
                director.handle(&by(SYN));
                if method == Method::Nat {
                    let answer = Draft::tcp(REAL[family], CLIENT[family], SYN | ACK);
                    director.handle(&answer.frame());
                }
                director.handle(&by(ACK));
                director
            };
            for flags in [RST, FIN] {
                let mut director = established();
                let states = director.states();
                assert_eq!(states[0].1, "ESTABLISHED");
                director.routes.take_lookups();
                assert_eq!(refused(director.handle_by(OTHER, &by(ACK))), None);
                assert_eq!(director.routes.take_lookups(), 0);
                assert_eq!(refused(director.handle_by(OTHER, &by(flags))), None);
                assert_eq!(director.states(), states, "{method:?}");
                assert_eq!(director.routes.take_lookups(), 1);
                let way = Way::host(at(CLIENT[family]).ip(), OTHER, ROUTER);
                director.change_routes(|routes| routes.add(way));
                director.handle_by(OTHER, &by(flags));
                assert_ne!(director.states(), states, "the client's new way");
                let director = established();
                director.handle(&by(flags));
                assert_ne!(director.states(), states, "the client itself");
            }
        }
    }
}

/// Of one VLAN nobody ends a connection of another one of the same trunk.
#[test]
fn a_clients_address_in_another_vlan_ends_nothing() {
    const VLANS: [(u16, u32); 2] = [(7, 30), (8, 31)];
    for family in [0, 1] {
        for method in METHODS {
            let by = |flags, vlan: &[u16]| {
                let draft = Draft::tcp(CLIENT[family], VIRTUAL[family], flags);
                draft.with(|draft| draft.tags.extend(vlan)).frame()
            };
            let mut director = director(family, method);
            for (vlan, device) in VLANS {
                director.set_flags(device, 0);
                let below = director.interfaces.get_mut(&device).expect("just made");
                (below.lower, below.vlan) = (INTERFACE, vlan.into());
                director.put_upper(INTERFACE, vlan.into(), device);
            }
            let way = Way::host(at(CLIENT[family]).ip(), VLANS[0].1, ROUTER);
            director.routes.add(way);
            director.handle(&by(SYN, &[7]));
            director.handle(&by(ACK, &[7]));
            let states = director.states();
            for (flags, vlan) in [(FIN, &[8][..]), (RST, &[8]), (FIN, &[])] {
                assert_eq!(refused(director.handle(&by(flags, vlan))), None);
                assert_eq!(director.states(), states, "{method:?} {vlan:?}");
            }
            director.handle(&by(FIN, &[7]));
            assert_ne!(director.states(), states, "{method:?}");
        }
    }
}

/// An association is not refused its beginning for coming by two ways.
#[test]
fn an_association_whose_packets_come_another_way_is_established() {
    let [from, to] = [CLIENT[0], VIRTUAL[0]];
    let mut director = Director::new();
    let service = director.serve(Protocol::Sctp, at(to), Pick::Rotate);
    director.add(service, at(REAL[0]), Method::Nat, 1);
    let way = Way::host(at(from).ip(), INTERFACE, ROUTER);
    director.routes.add(way);
    director.handle(&Draft::sctp(from, to, 1).frame());
    director.handle_by(OTHER, &Draft::sctp(REAL[0], from, 2).frame());
    director.handle_by(OTHER, &Draft::sctp(from, to, 10).frame());
    director.handle_by(OTHER, &Draft::sctp(REAL[0], from, 11).frame());
    let states = director.states();
    assert_eq!(states[0].1, "ESTABLISHED");
    director.handle_by(OTHER, &Draft::sctp(from, to, 7).frame());
    director.handle_by(OTHER, &Draft::sctp(REAL[0], from, 6).frame());
    assert_eq!(director.states(), states);
    director.handle(&Draft::sctp(from, to, 7).frame());
    assert_ne!(director.states(), states);
}

/// Asymmetric routes: the FIN of a client comes by the interface of its first packet, or by that of the replies.
#[test]
fn a_client_whose_packets_come_another_way_ends_its_connection() {
    for family in [0, 1] {
        for method in METHODS {
            let by = |flags| Draft::tcp(CLIENT[family], VIRTUAL[family], flags).frame();
            let director = director(family, method);
            let way = Way::host(at(CLIENT[family]).ip(), INTERFACE, ROUTER);
            director.routes.add(way);
            director.handle_by(OTHER, &by(SYN));
            director.handle_by(OTHER, &by(ACK));
            let states = director.states();
            director.handle_by(OTHER, &by(FIN));
            assert_ne!(director.states(), states, "{method:?}");
        }
    }
}

#[test]
fn a_servers_address_from_elsewhere_ends_nothing() {
    for family in [0, 1] {
        let mut director = director(family, Method::Nat);
        director.handle(&syn(CLIENT[family], family));
        let from_server = |flags| Draft::tcp(REAL[family], CLIENT[family], flags).frame();
        director.handle(&from_server(SYN | ACK));
        director.handle(&Draft::tcp(CLIENT[family], VIRTUAL[family], ACK).frame());
        let states = director.states();
        for flags in [RST, FIN, ACK] {
            let end = director.handle_by(OTHER, &from_server(flags));
            assert_eq!(refused(end), None, "as IPVS does");
            assert_eq!(director.states(), states);
        }
        director.set_flags(OTHER, Interface::RP_STRICT);
        if family == 0 {
            let end = director.handle_by(OTHER, &from_server(RST));
            assert_eq!(refused(end), Some(Reason::RpFilter));
        }
        director.handle(&from_server(FIN));
        assert_ne!(director.states(), states);
    }
}

const BOND: u32 = 20;
const VLAN: u32 = 21;

/// Routes and settings are those of the device above: a bond and its ports, a VLAN device and the interface below.
#[test]
fn a_reverse_path_leads_by_the_device_that_the_frames_are() {
    let client = at(CLIENT[0]).ip();
    for method in METHODS {
        for (device, vlan) in [(BOND, None), (VLAN, Some(7))] {
            let frame = |draft: Draft| draft.with(|draft| draft.tags.extend(vlan)).frame();
            let begin = |way: u32, below: u32, above: u32| {
                let mut director = director(0, method);
                director.set_flags(INTERFACE, below);
                director.set_flags(device, above);
                director.put_upper(INTERFACE, vlan.map_or(0, u32::from), device);
                director.routes.add(Way::host(client, way, ROUTER));
                refused(director.handle(&frame(Draft::tcp(CLIENT[0], VIRTUAL[0], SYN))))
            };
            let (strict, refusal) = (Interface::RP_STRICT, Some(Reason::RpFilter));
            let sentence = format!("{method:?} by {device}");
            assert_eq!(begin(device, strict, strict), None, "{sentence}");
            assert_eq!(begin(device, 0, strict), None, "{sentence}");
            assert_eq!(begin(INTERFACE, strict, strict), refusal, "{sentence}");
            assert_eq!(begin(OTHER, 0, strict), refusal, "{sentence}");
            assert_eq!(begin(OTHER, strict, 0), None, "{sentence}");
        }
    }
}

/// A connection may come by any port of a bond, and no route is asked for that.
#[test]
fn the_ports_of_a_bond_are_one_way() {
    for method in METHODS {
        let mut director = director(0, method);
        director.set_flags(BOND, Interface::RP_STRICT);
        for port in [INTERFACE, OTHER] {
            director.set_flags(port, Interface::RP_STRICT);
            director.put_upper(port, 0, BOND);
        }
        director
            .routes
            .add(Way::host(at(CLIENT[0]).ip(), BOND, ROUTER));
        assert_eq!(refused(director.handle(&syn(CLIENT[0], 0))), None);
        director.routes.take_lookups();
        for port in [INTERFACE, OTHER, INTERFACE] {
            let more = Draft::tcp(CLIENT[0], VIRTUAL[0], ACK).frame();
            assert_eq!(refused(director.handle_by(port, &more)), None, "{method:?}");
        }
        assert_eq!(director.routes.take_lookups(), 0, "{method:?}");
    }
}

/// XDP sends by the interface below a VLAN device, but the server's packets may come in by either.
#[test]
fn a_servers_packets_come_by_its_vlan_device_or_the_interface_below() {
    for family in [0, 1] {
        for (interface, tags) in [(VLAN, vec![]), (INTERFACE, vec![7])] {
            let mut director = director(family, Method::Nat);
            (director.hops[1].device, director.hops[1].vlan) = (VLAN, 7.into());
            director.set_flags(INTERFACE, 0);
            director.set_flags(VLAN, Interface::RP_STRICT);
            director.put_upper(INTERFACE, 7, VLAN);
            director.handle(&syn(CLIENT[family], family));
            let from_server = |flags, tags: &[u16]| {
                let draft = Draft::tcp(REAL[family], CLIENT[family], flags);
                draft.with(|draft| draft.tags.extend(tags)).frame()
            };
            let answer = director.handle_by(interface, &from_server(SYN | ACK, &tags));
            assert_eq!(refused(answer), None);
            director.handle(&Draft::tcp(CLIENT[family], VIRTUAL[family], ACK).frame());
            let states = director.states();
            director.handle_by(OTHER, &from_server(RST, &[]));
            assert_eq!(director.states(), states, "from another interface");
            assert_eq!(
                refused(director.handle_by(interface, &from_server(RST, &tags))),
                None
            );
            assert_ne!(director.states(), states);
        }
    }
}
