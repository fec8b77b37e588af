//! Next hops, followed in real network namespaces.
//!
//! Every story has a director's namespace and one or two others, joined by veth pairs. They need
//! root: a plain user is told that they are skipped; where `CI` is set that is a failure.

mod netns;
mod reports;
mod service_interfaces;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lvs_dataplane::neighbour::{NextHop, Resolution};
use netns::{Lab, index, netlink_drops, story};
use reports::{Reports, SOON, hop_is};

const DIRECTOR_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 1, 2];
const OTHER_DIRECTOR_MAC: [u8; 6] = [2, 0, 0, 0, 2, 1];
const OTHER_SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 2, 2];
const MOVED_MAC: [u8; 6] = [2, 0, 0, 0, 9, 9];

#[test]
fn a_neighbour_is_found_before_any_traffic() {
    story(async |lab: Lab| {
        lab.server(1);
        let mut reports = Reports::of(["10.0.1.2"]);
        let hop = reports.resolved("10.0.1.2", SERVER_MAC).await;
        assert_eq!(
            hop,
            NextHop {
                destination: SERVER_MAC,
                source: DIRECTOR_MAC,
                vlan: 0,
                mtu: 1500,
                interface: index("port1"),
                interface_name: "port1".into(),
                device: index("port1"),
                xdp: false,
                ethernet: true,
                source4: Some([10, 0, 1, 1].into()),
                source6: Some("fd00:1::1".parse().unwrap()),
            }
        );
    });
}

#[test]
fn an_ipv6_neighbour_is_found_before_any_traffic() {
    story(async |lab: Lab| {
        lab.server(1);
        let mut reports = Reports::of(["fd00:1::2"]);
        let hop = reports.resolved("fd00:1::2", SERVER_MAC).await;
        assert_eq!(hop.source4, Some([10, 0, 1, 1].into()));
        assert_eq!(hop.source6, Some("fd00:1::1".parse().unwrap()));
    });
}

#[test]
fn one_that_does_not_answer_is_asked_for_until_it_does() {
    story(async |lab: Lab| {
        lab.server(1);
        let mut reports = Reports::of(["10.0.1.3"]);
        reports
            .unresolved("10.0.1.3", SOON, "waiting for 10.0.1.3 to answer on port1")
            .await;
        let limit = SOON;
        reports
            .unresolved("10.0.1.3", limit, "10.0.1.3 does not answer on port1")
            .await;
        lab.ip_in(1, "addr add 10.0.1.3/24 dev port");
        let limit = SOON;
        reports
            .until("10.0.1.3", limit, |now| {
                matches!(now, Resolution::Resolved(_))
            })
            .await;
    });
}

#[test]
fn a_mac_address_that_changes_is_reported_at_once() {
    story(async |lab: Lab| {
        lab.server(1);
        let mut reports = Reports::of(["10.0.1.2", "fd00:1::2"]);
        reports.resolved("10.0.1.2", SERVER_MAC).await;
        reports.resolved("fd00:1::2", SERVER_MAC).await;
        // The kernel keeps a MAC address for a second before it believes in another.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        lab.ip_in(1, "link set dev port address 02:00:00:00:09:09");
        lab.send_from(1, "10.0.1.1");
        reports.resolved("10.0.1.2", MOVED_MAC).await;
        lab.send_from(1, "fd00:1::1");
        reports.resolved("fd00:1::2", MOVED_MAC).await;
    });
}

#[test]
fn a_mac_address_that_changes_in_silence_is_noticed_by_asking() {
    story(async |lab: Lab| {
        lab.server(1);
        // Kernel defaults are half a minute and five seconds.
        lab.sysctl("net.ipv4.neigh.port1.base_reachable_time_ms=4000");
        lab.sysctl("net.ipv4.neigh.port1.delay_first_probe_time=1");
        let mut reports = Reports::of(["10.0.1.2"]);
        reports.resolved("10.0.1.2", SERVER_MAC).await;
        lab.ip_in(1, "link set dev port address 02:00:00:00:09:09");
        reports
            .until(
                "10.0.1.2",
                Duration::from_secs(20),
                |now| matches!(now, Resolution::Resolved(hop) if hop.destination == MOVED_MAC),
            )
            .await;
    });
}

/// A request for it would make Linux forget that the entry is permanent.
#[test]
fn an_entry_that_the_operator_wrote_stays() {
    story(async |lab: Lab| {
        lab.server(1);
        let mut reports = Reports::of(["10.0.1.2"]);
        reports.resolved("10.0.1.2", SERVER_MAC).await;
        lab.ip("neigh replace 10.0.1.2 dev port1 lladdr 02:00:00:00:09:09 nud permanent");
        reports.resolved("10.0.1.2", MOVED_MAC).await;
        // Longer than two asks for the same neighbour are apart.
        reports.silence(Duration::from_secs(13)).await;
        lab.ip("neigh del 10.0.1.2 dev port1");
        reports.resolved("10.0.1.2", SERVER_MAC).await;
    });
}

#[test]
fn behind_a_gateway_the_gateway_is_the_next_hop() {
    story(async |lab: Lab| {
        lab.server(1);
        lab.ip("route add 192.0.2.0/24 via 10.0.1.2 mtu 1400");
        lab.ip("route add 198.51.100.0/24 via inet6 fd00:1::2");
        lab.ip("route add 2001:db8::/32 via fd00:1::2 src fd00:1::1");
        let mut reports = Reports::of(["192.0.2.7", "198.51.100.7", "2001:db8::7"]);
        let hop = reports.resolved("192.0.2.7", SERVER_MAC).await;
        assert_eq!((hop.mtu, hop.source4), (1400, Some([10, 0, 1, 1].into())));
        let hop = reports.resolved("198.51.100.7", SERVER_MAC).await;
        assert_eq!((hop.mtu, hop.source4), (1500, Some([10, 0, 1, 1].into())));
        let hop = reports.resolved("2001:db8::7", SERVER_MAC).await;
        assert_eq!(hop.source6, Some("fd00:1::1".parse().unwrap()));
    });
}

#[test]
fn a_route_that_moves_to_another_interface_is_followed() {
    story(async |lab: Lab| {
        lab.server(1);
        lab.server(2);
        let mut reports = Reports::of(["192.0.2.7", "10.0.1.2"]);
        reports
            .unresolved("192.0.2.7", SOON, "no route to it")
            .await;
        lab.ip("route add default via 10.0.1.2");
        reports.resolved("192.0.2.7", SERVER_MAC).await;
        lab.ip("route add 192.0.2.0/24 via 10.0.2.2");
        let hop = reports.resolved("192.0.2.7", OTHER_SERVER_MAC).await;
        assert_eq!(hop.source, OTHER_DIRECTOR_MAC);
        assert_eq!(hop.interface, index("port2"));
        assert_eq!(hop.source4, Some([10, 0, 2, 1].into()));
        lab.ip("route del 192.0.2.0/24");
        reports.resolved("192.0.2.7", SERVER_MAC).await;
        lab.ip("route add blackhole 192.0.2.7");
        reports
            .unresolved("192.0.2.7", SOON, "no route to it")
            .await;
    });
}

#[test]
fn an_interface_that_goes_down_and_comes_back_is_followed() {
    story(async |lab: Lab| {
        lab.server(1);
        let mut reports = Reports::of(["10.0.1.2", "fd00:1::2"]);
        reports.resolved("10.0.1.2", SERVER_MAC).await;
        reports.resolved("fd00:1::2", SERVER_MAC).await;

        lab.ip("link set dev port1 down");
        reports.unresolved("10.0.1.2", SOON, "no route to it").await;
        reports
            .unresolved("fd00:1::2", SOON, "no route to it")
            .await;
        lab.ip("link set dev port1 up");
        reports
            .until(
                "10.0.1.2",
                SOON,
                hop_is(|hop| hop.destination == SERVER_MAC),
            )
            .await;

        lab.ip_in(1, "link set dev port down");
        reports
            .unresolved("10.0.1.2", SOON, "interface port1 has no carrier")
            .await;
        lab.ip_in(1, "link set dev port up");
        reports
            .until(
                "10.0.1.2",
                SOON,
                hop_is(|hop| hop.destination == SERVER_MAC),
            )
            .await;
    });
}

#[test]
fn what_changes_about_an_interface_is_followed() {
    story(async |lab: Lab| {
        lab.server(1);
        let mut reports = Reports::of(["10.0.1.2"]);
        reports.resolved("10.0.1.2", SERVER_MAC).await;
        lab.ip("link set dev port1 mtu 1300");
        reports
            .until("10.0.1.2", SOON, hop_is(|hop| hop.mtu == 1300))
            .await;
        lab.ip("link set dev port1 address 02:00:00:00:09:09");
        reports
            .until("10.0.1.2", SOON, hop_is(|hop| hop.source == MOVED_MAC))
            .await;
        lab.ip("addr del fd00:1::1/64 dev port1");
        reports
            .until("10.0.1.2", SOON, hop_is(|hop| hop.source6.is_none()))
            .await;
        lab.ip("link set dev port1 arp off");
        lab.ip("neigh flush dev port1");
        reports
            .until("10.0.1.2", SOON, hop_is(|hop| hop.destination == MOVED_MAC))
            .await;
    });
}

#[test]
fn a_vlan_device_is_its_lower_interface_with_a_tag() {
    story(async |lab: Lab| {
        lab.server(1);
        if let Err(error) = lab.try_ip("link add link port1 name port1.42 type vlan id 42") {
            // Not every kernel has them, and this one cannot be given a module.
            eprintln!("skipped: no VLAN devices here: {error}");
            return;
        }
        lab.ip("addr add 10.0.42.1/24 dev port1.42");
        lab.ip("link set dev port1.42 mtu 1450 up");
        lab.ip_in(1, "link add link port name port.42 type vlan id 42");
        lab.ip_in(1, "addr add 10.0.42.2/24 dev port.42");
        lab.ip_in(1, "link set dev port.42 up");
        let mut reports = Reports::of(["10.0.42.2"]);
        let hop = reports.resolved("10.0.42.2", SERVER_MAC).await;
        assert_eq!((hop.vlan, hop.mtu), (42, 1450));
        assert_eq!(
            (hop.interface, hop.interface_name.as_str()),
            (index("port1"), "port1")
        );
        assert_eq!(hop.source4, Some([10, 0, 42, 1].into()));

        lab.ip("link add link port1.42 name inner type vlan id 7");
        lab.ip("addr add 10.0.43.1/24 dev inner");
        lab.ip("link set dev inner up");
        lab.ip("neigh add 10.0.43.2 dev inner lladdr 02:00:00:00:09:09");
        reports.follow(["10.0.43.2"]);
        let hop = reports.resolved("10.0.43.2", MOVED_MAC).await;
        assert_eq!(
            (hop.device, hop.interface),
            (index("inner"), index("inner"))
        );
        assert_eq!((hop.vlan, hop.xdp), (0, false));
    });
}

#[test]
fn an_address_of_the_director_itself_is_local() {
    story(async |lab: Lab| {
        lab.server(1);
        let mut reports = Reports::of(["10.0.1.1", "fd00:1::1", "10.0.1.2"]);
        reports
            .until("10.0.1.1", SOON, |now| *now == Resolution::Local)
            .await;
        reports
            .until("fd00:1::1", SOON, |now| *now == Resolution::Local)
            .await;
        reports.resolved("10.0.1.2", SERVER_MAC).await;
        lab.ip("addr add 10.0.1.2/32 dev lo");
        reports
            .until("10.0.1.2", SOON, |now| *now == Resolution::Local)
            .await;
        lab.ip("addr del 10.0.1.2/32 dev lo");
        reports.resolved("10.0.1.2", SERVER_MAC).await;
    });
}

#[test]
fn an_interface_without_ethernet_is_no_way() {
    story(async |lab: Lab| {
        lab.server(1);
        lab.ip("route add 198.51.100.0/24 dev lo");
        let mut reports = Reports::of(["198.51.100.1", "10.0.1.255"]);
        let words = "interface lo carries no Ethernet frames";
        reports.unresolved("198.51.100.1", SOON, words).await;
        reports
            .unresolved("10.0.1.255", SOON, "broadcast address")
            .await;
    });
}

#[test]
fn nothing_is_reported_when_nothing_changed() {
    story(async |lab: Lab| {
        lab.server(1);
        let mut reports = Reports::of(["10.0.1.2", "fd00:1::2"]);
        reports.resolved("10.0.1.2", SERVER_MAC).await;
        reports.resolved("fd00:1::2", SERVER_MAC).await;
        lab.send_from(1, "10.0.1.1");
        lab.ip("neigh change 10.0.1.2 dev port1 nud stale");
        lab.ip("neigh change 10.0.1.2 dev port1 nud probe");
        lab.ip("route add 10.0.1.0/25 dev port1");
        lab.ip("link set dev port1 promisc on");
        reports.silence(Duration::from_millis(1500)).await;
        reports.follow(["10.0.1.2"]);
        reports.silence(Duration::from_millis(300)).await;
    });
}

/// More events than the socket has room for, while nobody reads: the last of them counts.
#[test]
fn lost_events_are_made_up_for() {
    story(async |lab: Lab| {
        lab.server(1);
        let mut reports = Reports::of(["10.0.1.2"]);
        reports.resolved("10.0.1.2", SERVER_MAC).await;
        let flood = (0..40_000u16).map(u16::to_be_bytes).map(|[high, low]| {
            let neighbour = format!("10.9.{high}.{low} dev port1 lladdr 02:00:00:00:00:03");
            format!("neigh replace {neighbour} nud permanent")
        });
        let last = "neigh replace 10.0.1.2 dev port1 lladdr 02:00:00:00:09:09 nud permanent";
        lab.ip_batch(flood.chain([last.to_owned()]));
        assert_ne!(netlink_drops(), 0, "there was room for all events");
        let limit = Duration::from_secs(20);
        reports
            .until(
                "10.0.1.2",
                limit,
                hop_is(|hop| hop.destination == MOVED_MAC),
            )
            .await;
    });
}

#[test]
fn as_many_real_servers_as_there_can_be_are_followed() {
    story(async |lab: Lab| {
        lab.server(1);
        lab.server(2);
        lab.ip("route add 172.16.0.0/16 via 10.0.1.2");
        let all: BTreeSet<IpAddr> = (0..=u16::MAX)
            .map(u16::to_be_bytes)
            .map(|[high, low]| [172, 16, high, low].into())
            .collect();
        let mut reports = Reports::of([]);
        let start = Instant::now();
        reports.follow_all(&all);
        reports.all(65_536, SERVER_MAC).await;
        println!("65,536 addresses resolved in {:?}", start.elapsed());
        let start = Instant::now();
        lab.ip("route replace 172.16.0.0/16 via 10.0.2.2");
        reports.all(65_536, OTHER_SERVER_MAC).await;
        println!("65,536 addresses moved in {:?}", start.elapsed());
        let start = Instant::now();
        lab.ip("neigh replace 10.0.2.2 dev port2 lladdr 02:00:00:00:09:09 nud permanent");
        reports.all(65_536, MOVED_MAC).await;
        println!(
            "65,536 addresses got another MAC address in {:?}",
            start.elapsed()
        );
    });
}
