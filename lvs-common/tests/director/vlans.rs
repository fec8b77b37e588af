//! Frames with VLAN tags: whose they are.

use lvs_common::abi::{Method, Pick, UpperKey};
use lvs_common::connection::Protocol;
use lvs_common::verdict::Reason;

use super::frames::{ACK, Draft, RST, SYN, at};
use super::memory::{Director, INTERFACE};

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
