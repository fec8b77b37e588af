//! Failover by real Pacemaker and Corosync on two nodes, set up as docs/pacemaker.md says.

use lvs_tests::lab::Page;

use std::time::Duration;

use crate::site::{Gap, Held, Serving, explain, site};

const LOG: &str = "crm_mon --one-shot --show-detail; crm configure show; lvsadm role; \
    tail -n 20 /var/log/corosync/corosync.log; grep -E 'error|warning|lvs' /var/log/pacemaker/pacemaker.log \
    | tail -n 60; tail -n 20 /var/log/ldirectord.log; ip -4 address";

const NEEDED: [&str; 6] = [
    "corosync",
    "pacemakerd",
    "crm",
    "crm_master",
    "ocf-tester",
    "ping",
];

#[test]
fn pacemaker_promotes_the_director_as_its_page_says() {
    let Some(site) = site(&["10.0.0"], &NEEDED) else {
        return;
    };
    let _explained = explain(&site, LOG);
    let mut page = Page::read("pacemaker.md");
    let serves = Serving::new(&site, "10.0.0.3");
    serves.through_a_crash(&mut page);

    page.follow(&site, "Taking lvs1 out");
    serves.only("lvs2");
    page.was_followed_but(&["Connection replication"]);
}

#[test]
fn connections_survive_a_failover_by_pacemaker() {
    let Some(site) = site(&["10.0.0"], &NEEDED) else {
        return;
    };
    let _explained = explain(&site, LOG);
    let mut page = Page::read("pacemaker.md");
    for section in [
        "The real servers",
        "The directors",
        "Connection replication",
    ] {
        page.follow(&site, section);
    }
    let serves = Serving::new(&site, "10.0.0.3");
    serves.only("lvs1");
    let mut held = Held::open(&site, "10.0.0.3:80");
    let server = held.ask();
    held.is_known(&site, "lvs2", "10.0.0.100");
    site.crash("lvs1").unwrap();
    assert_eq!(held.ask(), server, "it went to another server");
    serves.only("lvs2");

    // It is promoted again when it knows the connection, not before, and until then lvs2 holds the address.
    site.boot("lvs1").unwrap();
    let gap = Gap::watch(&site, "10.0.0.3");
    page.follow(&site, "When lvs1 comes back");
    serves.only("lvs1");
    let longest = gap.longest();
    println!("nobody holds the address for {longest:?} at failback");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    assert_eq!(held.ask(), server, "it went to another server");
    serves.only("lvs1");
}
