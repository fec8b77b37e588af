//! Failover by real keepalived, set up as docs/keepalived.md says.

use lvs_tests::lab::Page;

use crate::site::{Held, Serving, explain, site};

const LOG: &str = "tail -n 20 /var/log/ldirectord.log; lvsadm --status; lvsadm -Ln; ip -4 address";

#[test]
fn keepalived_fails_addresses_and_role_over_as_its_page_says() {
    let Some(site) = site(&["192.168.25", "10.0.0"], &["keepalived"]) else {
        return;
    };
    let _explained = explain(&site, LOG);
    let mut page = Page::read("keepalived.md");
    let serves = Serving::new(&site, "192.168.25.203").with_gateway("10.0.0.3");
    serves.through_a_crash(&mut page);

    page.follow(&site, "When the director on lvs1 is not healthy");
    serves.only("lvs1");

    page.follow(&site, "Taking lvs1 out");
    serves.only("lvs2");
    page.was_followed_but(&["Connection replication"]);
}

#[test]
fn connections_survive_a_failover_by_keepalived() {
    let Some(site) = site(&["192.168.25", "10.0.0"], &["keepalived"]) else {
        return;
    };
    let _explained = explain(&site, LOG);
    let mut page = Page::read("keepalived.md");
    for section in [
        "The real servers",
        "The directors",
        "Start",
        "Connection replication",
    ] {
        page.follow(&site, section);
    }
    let serves = Serving::new(&site, "192.168.25.203").with_gateway("10.0.0.3");
    serves.only("lvs1");
    let mut held = Held::open(&site, "192.168.25.203:80");
    let server = held.ask();
    held.is_known(&site, "lvs2", "192.168.25.100");
    site.crash("lvs1").unwrap();
    assert_eq!(held.ask(), server, "it went to another server");
    serves.only("lvs2");

    // It takes the addresses back when it knows the connection, not before.
    site.boot("lvs1").unwrap();
    page.follow(&site, "When lvs1 comes back");
    assert_eq!(held.ask(), server, "it went to another server");
    serves.only("lvs1");
}
