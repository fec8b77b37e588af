use rtnetlink::packet_route::link::InfoKind;

use super::*;

const MAC: Mac = [2, 0, 0, 0, 0, 1];

fn link_message(attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = 4;
    message.header.link_layer_type = LinkLayerType::Ether;
    message.header.flags = LinkFlags::Up | LinkFlags::Running;
    message.attributes = vec![
        LinkAttribute::IfName("eth0".into()),
        LinkAttribute::Mtu(1500),
        LinkAttribute::Address(MAC.to_vec()),
    ];
    message.attributes.extend(attributes);
    message
}

fn decoded(message: LinkMessage) -> Interface {
    match update(&RouteNetlinkMessage::NewLink(message)) {
        Some(Update::Interface(4, Some(link))) => link,
        other => panic!("{other:?}"),
    }
}

fn vlan(protocol: VlanProtocol) -> LinkAttribute {
    let data = vec![InfoVlan::Id(42), InfoVlan::Protocol(protocol)];
    LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Vlan),
        LinkInfo::Data(InfoData::Vlan(data)),
    ])
}

#[test]
fn an_interface_is_its_name_address_state_and_mtu() {
    let link = decoded(link_message(vec![]));
    assert_eq!(link, Interface::example("eth0", ""));
}

#[test]
fn flags_say_how_neighbours_are_found_and_whether_the_interface_can_send() {
    for (flags, discovery) in [
        (LinkFlags::Up, Discovery::Solicited),
        (LinkFlags::Noarp, Discovery::Own),
        (LinkFlags::Pointopoint, Discovery::Broadcast),
        (LinkFlags::Pointopoint | LinkFlags::Noarp, Discovery::Own),
    ] {
        let mut message = link_message(vec![]);
        message.header.flags = flags;
        let link = decoded(message);
        assert_eq!(link.discovery, discovery);
        assert!(!link.can_send());
    }
}

#[test]
fn only_ethernet_has_an_address_for_frames() {
    let mut message = link_message(vec![]);
    message.header.link_layer_type = LinkLayerType::Loopback;
    assert_eq!(decoded(message.clone()).mac, None);
    assert!(decoded(message.clone()).ethernet);
    message.header.link_layer_type = LinkLayerType::None;
    assert!(!decoded(message).ethernet);
}

#[test]
fn an_interface_names_its_kind_and_what_is_above_and_below() {
    let of = |kind| {
        let kind = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]);
        let link = decoded(link_message(vec![
            LinkAttribute::Link(3),
            LinkAttribute::Controller(7),
            kind,
        ]));
        (link.kind, link.lower, link.master)
    };
    assert_eq!(of(InfoKind::MacVlan), ("macvlan".into(), Some(3), Some(7)));
    // The other end of a veth pair is no lower device.
    assert_eq!(of(InfoKind::Veth), ("veth".into(), None, Some(7)));
}

#[test]
fn a_vlan_device_names_its_tag_and_what_it_lies_on() {
    let on = |attributes| decoded(link_message(attributes)).vlan;
    let tag = Vlan {
        lower: Some(3),
        id: 42,
        customer: true,
    };
    let lower = LinkAttribute::Link(3);
    assert_eq!(
        on(vec![lower.clone(), vlan(VlanProtocol::Ieee8021Q)]),
        Some(tag)
    );
    let provider = on(vec![lower.clone(), vlan(VlanProtocol::Ieee8021Ad)]);
    assert_eq!(
        provider,
        Some(Vlan {
            customer: false,
            ..tag
        })
    );
    let elsewhere = vec![
        lower.clone(),
        LinkAttribute::LinkNetNsId(0),
        vlan(VlanProtocol::Ieee8021Q),
    ];
    assert_eq!(on(elsewhere), Some(Vlan { lower: None, ..tag }));
    // The other end of a veth pair is no lower device.
    assert_eq!(on(vec![lower]), None);
}

#[test]
fn what_a_bridge_says_of_its_ports_is_not_about_the_interface() {
    let mut message = link_message(vec![]);
    message.header.interface_family = AddressFamily::Bridge;
    assert_eq!(update(&RouteNetlinkMessage::NewLink(message.clone())), None);
    assert_eq!(update(&RouteNetlinkMessage::DelLink(message)), None);
}

#[test]
fn an_address_is_fit_to_be_a_source_or_not() {
    let decoded_as = |flags, scope, length| {
        let mut message = AddressMessage::default();
        message.header.index = 4;
        message.header.scope = scope;
        message.header.prefix_len = length;
        message.attributes = vec![
            AddressAttribute::Address([10, 0, 0, 2].into()),
            AddressAttribute::Local([10, 0, 0, 1].into()),
            AddressAttribute::Flags(flags),
        ];
        match update(&RouteNetlinkMessage::NewAddress(message)) {
            Some(Update::Address(4, address)) => address,
            other => panic!("{other:?}"),
        }
    };
    let decoded = |flags, scope| decoded_as(flags, scope, 24);
    let expected = Address {
        ip: [10, 0, 0, 1].into(),
        global: true,
        preferred: true,
        host: false,
    };
    assert_eq!(
        decoded(AddressFlags::Permanent, AddressScope::Universe),
        expected
    );
    assert!(decoded_as(AddressFlags::Permanent, AddressScope::Universe, 32).host);
    let link_local = decoded(AddressFlags::Permanent, AddressScope::Link);
    assert_eq!(
        link_local,
        Address {
            global: false,
            ..expected
        }
    );
    for flag in [
        AddressFlags::Tentative,
        AddressFlags::Deprecated,
        AddressFlags::Secondary,
    ] {
        let unfit = decoded(flag, AddressScope::Universe);
        assert_eq!(
            unfit,
            Address {
                preferred: false,
                ..expected
            }
        );
    }
}

#[test]
fn a_neighbour_is_known_in_every_state_that_linux_sends_in() {
    use NeighbourState as State;
    let decoded = |state, flags| {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.ifindex = 4;
        message.header.state = state;
        message.header.flags = flags;
        message.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet([10, 0, 0, 2].into())),
            NeighbourAttribute::LinkLayerAddress(MAC.to_vec()),
        ];
        update(&RouteNetlinkMessage::NewNeighbour(message))
    };
    let key = NeighbourKey {
        interface: 4,
        address: [10, 0, 0, 2].into(),
    };
    let none = NeighbourFlags::empty();
    for (state, neighbour) in [
        (State::Reachable, Some(Neighbour::Known(MAC))),
        (State::Stale, Some(Neighbour::Known(MAC))),
        (State::Delay, Some(Neighbour::Known(MAC))),
        (State::Probe, Some(Neighbour::Known(MAC))),
        (State::Noarp, Some(Neighbour::Fixed(MAC))),
        (State::Permanent, Some(Neighbour::Fixed(MAC))),
        (State::Incomplete, Some(Neighbour::Incomplete)),
        (State::Failed, Some(Neighbour::Failed)),
        (State::None, None),
    ] {
        assert_eq!(
            decoded(state, none),
            Some(Update::Neighbour(key, neighbour)),
            "{state}"
        );
    }
    let fixed = Update::Neighbour(key, Some(Neighbour::Fixed(MAC)));
    assert_eq!(
        decoded(State::Stale, NeighbourFlags::ExtLearned),
        Some(fixed)
    );
    assert_eq!(decoded(State::Permanent, NeighbourFlags::Proxy), None);
}

#[test]
fn a_route_is_an_interface_a_gateway_a_source_and_an_mtu() {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![
        RouteAttribute::Oif(4),
        RouteAttribute::Via(RouteVia::Inet6("fe80::1".parse().unwrap())),
        RouteAttribute::PrefSource(RouteAddress::Inet([10, 0, 0, 1].into())),
        RouteAttribute::Metrics(vec![RouteMetric::Lock(4), RouteMetric::Mtu(1400)]),
    ];
    let expected = Route::Unicast {
        interface: 4,
        gateway: Some("fe80::1".parse().unwrap()),
        source: Some([10, 0, 0, 1].into()),
        mtu: Some(1400),
    };
    assert_eq!(route(&message), expected);
    for kind in [RouteType::Local, RouteType::Anycast] {
        message.header.kind = kind;
        assert_eq!(route(&message), Route::Local);
    }
    for kind in [
        RouteType::BlackHole,
        RouteType::Prohibit,
        RouteType::Broadcast,
    ] {
        message.header.kind = kind;
        assert!(matches!(route(&message), Route::None(_)));
    }
}

#[test]
fn a_route_event_concerns_its_prefix() {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    let any = Prefix {
        address: [0; 16].into(),
        length: 0,
    };
    assert_eq!(
        update(&RouteNetlinkMessage::DelRoute(message.clone())),
        Some(Update::Routes(any))
    );
    message.header.destination_prefix_length = 32;
    let destination = RouteAddress::Inet6("2001:db8::".parse().unwrap());
    message
        .attributes
        .push(RouteAttribute::Destination(destination));
    let prefix = Prefix {
        address: "2001:db8::".parse().unwrap(),
        length: 32,
    };
    assert_eq!(
        update(&RouteNetlinkMessage::NewRoute(message.clone())),
        Some(Update::Routes(prefix))
    );
    message.header.address_family = AddressFamily::Mpls;
    assert_eq!(update(&RouteNetlinkMessage::NewRoute(message)), None);
}
