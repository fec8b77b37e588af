//! Interfaces by which packets of services come and go.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lvs_dataplane::neighbour::{ServiceInterfaces, service_interfaces};

use super::netns::{Lab, story};

async fn of<const N: usize>(addresses: [&str; N]) -> BTreeSet<String> {
    let addresses = addresses.map(|address| address.parse().unwrap());
    look(addresses).await.names
}

async fn look<const N: usize>(addresses: [IpAddr; N]) -> ServiceInterfaces {
    service_interfaces(BTreeSet::from(addresses)).await.unwrap()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    BTreeSet::from(names.map(str::to_owned))
}

#[test]
fn interfaces_that_hold_services_or_lead_to_servers_are_the_directors() {
    story(async |lab: Lab| {
        for n in [1, 2, 3] {
            lab.server(n);
        }
        assert_eq!(of([]).await, names([]));
        // A virtual address, and a server.
        assert_eq!(
            of(["10.0.1.1", "10.0.2.2"]).await,
            names(["port1", "port2"])
        );
        assert_eq!(of(["fd00:2::2"]).await, names(["port2"]));
        // One that is not here yet, on the network that it will be on.
        assert_eq!(of(["10.0.3.77"]).await, names(["port3"]));
        // No way leads there.
        assert_eq!(of(["10.9.9.9"]).await, names([]));
        // One that routers send here comes by none of its own.
        lab.ip("addr add 10.8.8.8/32 dev lo");
        assert_eq!(of(["10.8.8.8", "127.0.0.1"]).await, names([]));
        let addresses =
            ["10.0.3.77", "10.9.9.9", "10.8.8.8"].map(|address| address.parse().unwrap());
        let found = look(addresses).await.found;
        assert_eq!(found, BTreeSet::from([addresses[0], addresses[2]]));
        // Clients come by the default route.
        lab.ip("route add default via 10.0.3.2");
        assert_eq!(
            of(["10.8.8.8", "10.0.1.2"]).await,
            names(["port1", "port3"])
        );
    });
}

#[test]
fn an_interface_stands_for_the_vlan_devices_on_it() {
    story(async |lab: Lab| {
        lab.server(1);
        if let Err(error) = lab.try_ip("link add link port1 name port1.7 type vlan id 7") {
            eprintln!("skipped: this kernel has no VLAN devices ({error})");
            return;
        }
        lab.ip("addr add 10.7.0.1/24 dev port1.7");
        lab.ip("link set port1.7 up");
        assert_eq!(of(["10.7.0.2"]).await, names(["port1"]));
        assert_eq!(of(["10.7.0.1"]).await, names(["port1"]));
    });
}

/// Linux answers ARP on every interface for all addresses of the machine.
#[test]
fn an_interface_that_answers_for_the_macvlan_device_on_it_is_the_directors_too() {
    story(async |lab: Lab| {
        lab.server(1);
        let set = |name: &str, value: &str| {
            let path = format!("/proc/sys/net/ipv4/conf/{name}");
            std::fs::write(path, value).unwrap();
        };
        for name in ["all", "port1"] {
            set(&format!("{name}/rp_filter"), "0");
        }
        lab.ip("link add link port1 name upon type macvlan mode private");
        lab.ip("addr add 10.7.0.1/24 dev upon");
        lab.ip("addr add fd00:7::1/64 dev upon nodad");
        lab.ip("link set upon up");
        let both = names(["port1", "upon"]);
        assert_eq!(of(["10.7.0.1"]).await, both);
        assert_eq!(of(["10.7.0.2"]).await, both);
        assert_eq!(of(["fd00:7::1"]).await, names(["upon"]), "only of its own");
        for (name, value) in [("all/arp_ignore", "1"), ("port1/rp_filter", "1")] {
            set(name, value);
            assert_eq!(of(["10.7.0.1"]).await, names(["upon"]), "{name}");
            set(name, "0");
        }
        assert_eq!(of(["10.7.0.1"]).await, both);
    });
}
