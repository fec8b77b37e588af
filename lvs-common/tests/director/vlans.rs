//! Frames with VLAN tags: whose they are.

use lvs_common::abi::{Method, Pick, Server, UpperKey};
use lvs_common::connection::Protocol;
use lvs_common::packet::Packet as _;
use lvs_common::verdict::Reason;

use super::frames::{ACK, Draft, RST, SYN, at};
use super::memory::{Director, INTERFACE};
use super::packet::Frame;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const REAL: [&str; 2] = ["10.0.0.1:80", "[2001:db8:2::1]:80"];
const METHODS: [Method; 3] = [Method::Direct, Method::Nat, Method::Tunnel];
const UPPER: u32 = INTERFACE + 21;

fn director(family: usize, method: Method) -> Director {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at(VIRTUAL[family]), Pick::Rotate);
    director.add(service, at(REAL[family]), method, 1);
    director
}

/// The kernel takes a tag without VLAN id for a priority alone, and one that no VLAN device has for another host's,
/// also inside another.
#[test]
fn frames_of_a_vlan_without_a_device_are_another_hosts() {
    for family in [0, 1] {
        for (known, method) in [false, true]
            .into_iter()
            .flat_map(|known| METHODS.map(|method| (known, method)))
        {
            let mut director = director(family, method);
            if known {
                director.know_vlans(INTERFACE, &[7]);
                director.know_vlans(INTERFACE, &[5, 6]);
            }
            let to_service = |flags, tags: &[u16]| {
                let draft = Draft::tcp(CLIENT[family], VIRTUAL[family], flags);
                draft.with(|draft| draft.tags.extend(tags)).frame()
            };
            let from_server = |tags: &[u16]| {
                let draft = Draft::tcp(REAL[family], CLIENT[family], SYN | ACK);
                draft.with(|draft| draft.tags.extend(tags)).frame()
            };
            let others = |frame: &[u8]| {
                let (verdict, after) = director.handle(frame);
                assert_eq!(verdict.reason(), Some(Reason::OtherHost), "{frame:02x?}");
                assert_eq!(after, frame);
            };
            let foreign: [&[u16]; 4] = [&[9], &[7, 9], &[9, 7], &[0, 9]];
            let maybe_ours: [&[u16]; 4] = [&[7], &[0xe007], &[5, 6], &[0, 7]];
            for tags in foreign {
                others(&to_service(SYN, tags));
            }
            assert_eq!(director.states(), []);
            for tags in [&[][..], &[0], &[0xe000], &[0, 0]] {
                assert!(director.handle(&to_service(SYN, tags)).0.is_forwarded());
            }
            for tags in maybe_ours {
                if known {
                    assert!(director.handle(&to_service(ACK, tags)).0.is_forwarded());
                } else {
                    others(&to_service(ACK, tags));
                }
            }
            let states = director.states();
            for tags in foreign {
                others(&to_service(RST, tags));
                if method == Method::Nat {
                    others(&from_server(tags));
                }
            }
            assert_eq!(director.states(), states, "a known connection's, too");
        }
    }
}

/// 802.1Q and 802.1ad have the same VLAN ids.
#[test]
fn a_service_providers_vlan_is_not_a_customers() {
    for kind in [0, UpperKey::SERVICE] {
        let mut director = director(0, Method::Direct);
        director.put_upper(INTERFACE, 7 | kind, UPPER);
        let customer = Draft::tcp(CLIENT[0], VIRTUAL[0], SYN).with(|draft| draft.tags.push(7));
        let mut provider = customer.frame();
        provider[12..14].copy_from_slice(&[0x88, 0xa8]);
        for (ethertype, frame) in [(0, customer.frame()), (UpperKey::SERVICE, provider)] {
            let expected = (ethertype != kind).then_some(Reason::OtherHost);
            let (verdict, _) = director.handle(&frame);
            assert_eq!(verdict.is_forwarded(), expected.is_none(), "{verdict:?}");
            if expected.is_some() {
                assert_eq!(verdict.reason(), expected);
            }
        }
    }
}

/// Ethertype and control of each tag, outer first.
type Stack = &'static [[u16; 2]];

/// Stacks of tags, and what of them the way back has: a tag of priority 0 without VLAN says nothing, and a socket
/// buffer loses it.
const STACKS: [(Stack, Stack); 8] = [
    (&[[0x8100, 7]], &[[0x8100, 7]]),
    (&[[0x88a8, 7]], &[[0x88a8, 7]]),
    (
        &[[0x88a8, 0xe005], [0x8100, 6]],
        &[[0x88a8, 0xe005], [0x8100, 6]],
    ),
    (&[[0x8100, 5], [0x8100, 6]], &[[0x8100, 5], [0x8100, 6]]),
    (&[[0x88a8, 5], [0x88a8, 6]], &[[0x88a8, 5], [0x88a8, 6]]),
    (&[[0x8100, 5], [0x88a8, 6]], &[[0x8100, 5], [0x88a8, 6]]),
    (&[[0x8100, 0]], &[]),
    (&[[0x8100, 0], [0x8100, 7]], &[[0x8100, 7]]),
];

fn stacked(frame: &[u8], tags: Stack) -> Vec<u8> {
    let tags = tags.iter().flatten().flat_map(|word| word.to_be_bytes());
    [&frame[..12], &tags.collect::<Vec<_>>(), &frame[12..]].concat()
}

/// A switch knows a VLAN by its id and by the ethertype that announces it.
#[test]
fn answers_go_back_in_the_vlans_that_the_packet_came_in() {
    for family in [0, 1] {
        let mut director = director(family, Method::Direct);
        for (kind, [outer, inner]) in [0, UpperKey::SERVICE]
            .into_iter()
            .flat_map(|kind| [(kind, [7, 0]), (kind, [5, 6])])
        {
            let upper = UPPER + outer + kind;
            director.put_upper(INTERFACE, outer | kind, upper);
            for inside in [0, UpperKey::SERVICE] {
                director.put_upper(upper, inner | inside, upper + 1);
            }
        }
        let segment = |flags| Draft::tcp(CLIENT[family], VIRTUAL[family], flags);
        let too_old = segment(SYN).with(|draft| draft.ttl = 1).frame();
        let (verdict, told) = director.handle(&too_old);
        assert_eq!(verdict.reason(), Some(Reason::TimeExceeded));
        for (came, goes) in STACKS {
            let goes = if Frame::BUFFER { goes } else { came };
            let (verdict, after) = director.handle(&stacked(&too_old, came));
            assert_eq!(verdict.reason(), Some(Reason::TimeExceeded), "{came:x?}");
            assert_eq!(after, stacked(&told, goes), "{came:x?}");
        }
        director.handle(&segment(SYN).frame());
        director.handle(&segment(ACK).frame());
        director.edit(0, |_, members| members[0].weight = 0);
        director.servers[0].flags |= Server::DOWN;
        let (verdict, reset) = director.handle(&segment(ACK).frame());
        assert_eq!(verdict.reason(), Some(Reason::Reset));
        for (came, goes) in STACKS {
            let goes = if Frame::BUFFER { goes } else { came };
            let (_, after) = director.handle(&stacked(&segment(ACK).frame(), came));
            assert_eq!(after, stacked(&reset, goes), "{came:x?}");
        }
    }
}
