//! Rules that give packets firewall marks, and the services of marks beside those of addresses.

use std::net::IpAddr;

use lvs_common::abi::{Config, MarkRule, Marked, Method, Pick, ServiceKey, address_words};
use lvs_common::connection::Protocol;
use lvs_common::verdict::Reason;
use zerocopy::FromZeros as _;

use super::frames::{Draft, SYN, at, wide};
use super::memory::{Director, INTERFACE};

const VIRTUAL: &str = "192.0.2.1:80";
const CLIENT: &str = "198.51.100.7:40000";

/// A director with a service for the mark 7 (server 0) and one for the address (server 1).
fn director() -> Director {
    let mut director = Director::new();
    let mark = director.serve_key(
        ServiceKey {
            address: wide([0, 0, 0, 7].into()),
            port: 0.into(),
            protocol: ServiceKey::MARK,
            family: 4,
        },
        Pick::Rotate,
    );
    director.add(mark, at("10.0.0.1:0"), Method::Direct, 1);
    let address = director.serve(Protocol::Tcp, at(VIRTUAL), Pick::Rotate);
    director.add(address, at("10.0.0.2:80"), Method::Direct, 1);
    director
}

/// Every IPv4 packet to the virtual address.
fn any() -> MarkRule {
    MarkRule {
        destination: address_words(wide(at(VIRTUAL).ip())),
        destination_mask: address_words(wide(IpAddr::from([255; 4]))),
        source_ports: [0, u16::MAX],
        destination_ports: [0, u16::MAX],
        family: 4,
        ..MarkRule::new_zeroed()
    }
}

fn mask(prefix: u32) -> [u64; 2] {
    address_words(wide(IpAddr::from((!(u32::MAX >> prefix)).to_be_bytes())))
}

/// Sets the rules in the order in which netfilter would have them: each with the service of its mark.
fn set(director: &mut Director, rules: &[(MarkRule, u32)]) {
    let first = 5;
    director.mark_rules = vec![any(); 5];
    for (number, (rule, service)) in (1..).zip(rules) {
        director.mark_rules.push(MarkRule {
            marked: Marked::new(number, *service),
            ..*rule
        });
    }
    let count = u32::try_from(rules.len()).expect("few");
    director.config.mark_rules = Config::mark_run(first, count);
}

fn key(director: &mut Director, port: u16, place: u32, service: u32) {
    let key = ServiceKey {
        address: wide(at(VIRTUAL).ip()),
        port: port.into(),
        protocol: Protocol::Tcp.number(),
        family: 4,
    };
    director
        .keyed_marks
        .insert(key, Marked::new(place, service));
    director.config.keyed_marks = 1;
}

/// The server that a new connection goes to, by the fast path and by the stages.
fn server(director: &Director, draft: &Draft) -> Option<u32> {
    let go = |handle: fn(&Director, &[u8]) -> _, port| {
        let counted = |server| director.stats(server).connections;
        let before = [counted(0), counted(1)];
        let draft = draft.clone().with(|draft| draft.from.set_port(port));
        let _: (lvs_common::verdict::Verdict, Vec<u8>) = handle(director, &draft.frame());
        (0..2).find(|&server| counted(server) != before[server as usize])
    };
    let port = draft.from.port();
    let fast = go(Director::handle, port);
    let staged = go(Director::handle_by_stages, port + 1);
    assert_eq!(fast, staged);
    fast
}

fn syn() -> Draft {
    Draft::tcp(CLIENT, VIRTUAL, SYN)
}

#[test]
fn a_rule_matches_by_each_of_its_parts() {
    let mut director = director();
    assert_eq!(server(&director, &syn()), Some(1), "no rule");
    let with = |change: fn(&mut MarkRule)| {
        let mut rule = any();
        change(&mut rule);
        rule
    };
    let parts: [(MarkRule, bool); 13] = [
        (any(), true),
        (with(|rule| rule.protocol = 6), true),
        (with(|rule| rule.protocol = 17), false),
        (with(|rule| rule.interface = INTERFACE), true),
        (with(|rule| rule.interface = MarkRule::NO_INTERFACE), false),
        (with(|rule| rule.destination_ports = [80, 80]), true),
        (with(|rule| rule.destination_ports = [81, 90]), false),
        (with(|rule| rule.source_ports = [40_000, 50_000]), true),
        (with(|rule| rule.source_ports = [0, 1023]), false),
        (
            with(|rule| {
                rule.source = address_words(wide([198, 51, 100, 0].into()));
                rule.source_mask = mask(24);
            }),
            true,
        ),
        (
            with(|rule| {
                rule.source = address_words(wide([203, 0, 113, 0].into()));
                rule.source_mask = mask(24);
            }),
            false,
        ),
        (
            with(|rule| {
                rule.destination = address_words(wide([192, 0, 0, 0].into()));
                rule.destination_mask = mask(8);
            }),
            true,
        ),
        (with(|rule| rule.family = 6), false),
    ];
    for (number, (rule, matches)) in (0..).zip(parts) {
        set(&mut director, &[(rule, 0)]);
        let draft = syn().with(|draft| draft.from.set_port(40_010 + 2 * number));
        assert_eq!(
            server(&director, &draft),
            Some(u32::from(!matches)),
            "{rule:?}"
        );
    }
}

#[test]
fn of_several_rules_the_last_one_holds() {
    let mut director = director();
    let nobody = Marked::NO_SERVICE;
    let syn = |number: u16| syn().with(move |draft| draft.from.set_port(41_000 + number * 2));
    set(&mut director, &[(any(), nobody), (any(), 0)]);
    assert_eq!(server(&director, &syn(0)), Some(0));
    // The last mark has no service: the address' is next, as for `ip_vs_service_find`.
    set(&mut director, &[(any(), 0), (any(), nobody)]);
    assert_eq!(server(&director, &syn(1)), Some(1));
    // A rule that is found by its key has its place among the others.
    key(&mut director, 80, 3, 0);
    assert_eq!(server(&director, &syn(2)), Some(0));
    key(&mut director, 0, 4, nobody);
    assert_eq!(server(&director, &syn(3)), Some(1));
    key(&mut director, 80, 5, 0);
    assert_eq!(server(&director, &syn(4)), Some(0));
    key(&mut director, 80, 1, 0);
    director.keyed_marks.retain(|key, _| key.port.get() != 0);
    assert_eq!(server(&director, &syn(5)), Some(1));
}

#[test]
fn a_mark_and_an_address_have_services_side_by_side() {
    let mut director = director();
    key(&mut director, 0, 1, 0);
    assert_eq!(server(&director, &syn()), Some(0));
    // Without its rule the mark is not found, nor is it by the address that looks like it.
    director.keyed_marks.clear();
    let draft = syn().with(|draft| draft.from.set_port(42_000));
    assert_eq!(server(&director, &draft), Some(1));
    let (verdict, _) = director.handle(&Draft::tcp(CLIENT, "0.0.0.7:80", SYN).frame());
    assert_eq!(verdict.reason(), Some(Reason::NoService));
}
