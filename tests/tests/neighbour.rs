//! Real servers' MAC addresses are followed as they change.

use std::time::Duration;

use lvs_api::model::Method::Direct;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{FAMILIES, virtual_address};
use lvs_tests::lab::director::every_service;
use lvs_tests::lab::{Arms, Lab};

#[test]
fn a_changed_mac_address_of_a_real_server_is_followed() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    let server = lab.servers[0].namespace();
    // As hosts do that take over an address: they tell their neighbours.
    server
        .sysctl(&[
            ("ipv4/conf/eth0/arp_notify", "1"),
            ("ipv6/conf/eth0/ndisc_notify", "1"),
        ])
        .unwrap();
    server
        .ip("link set eth0 address 02:00:00:00:be:ef")
        .unwrap();
    for family in FAMILIES {
        let address = virtual_address(family, Direct);
        let whole = eventually(Duration::from_secs(20), || {
            let names = lab.client.get_many(address, 3);
            names.is_ok_and(|names| names.contains(&"server1".to_owned()))
        });
        assert!(
            whole,
            "server1 gets no requests at its new MAC address over {family:?}"
        );
    }
}
