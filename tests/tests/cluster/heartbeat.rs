//! Failover by real Heartbeat, set up as docs/heartbeat.md says.

use std::time::Instant;

use lvs_tests::lab::Page;

use crate::site::{Held, Serving, explain, says, site};

const LOG: &str = "tail -n 40 /var/log/ha-log; tail -n 20 /var/log/ldirectord.log";

#[test]
fn heartbeat_fails_the_director_over_as_its_page_says() {
    let Some(site) = site(&["10.0.0"], &["cl_status", "ifconfig"]) else {
        return;
    };
    let _explained = explain(&site, LOG);
    let mut page = Page::read("heartbeat.md");
    let serves = Serving::new(&site, "10.0.0.3");
    serves.through_a_crash(&mut page);

    page.follow(&site, "Taking lvs1 out");
    serves.only("lvs2");
    page.was_followed_but(&["Connection replication"]);
}

#[test]
fn connections_survive_a_failover_by_heartbeat() {
    let Some(site) = site(&["10.0.0"], &["cl_status", "ifconfig"]) else {
        return;
    };
    let _explained = explain(&site, LOG);
    let mut page = Page::read("heartbeat.md");
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

    let crashed = Instant::now();
    site.crash("lvs1").unwrap();
    serves.again("crash", crashed);
    assert_eq!(held.ask(), server, "it went to another server");
    serves.only("lvs2");

    // The alias takes the role by hand, and lets go of it.
    let swap = "/etc/ha.d/resource.d/LVSSyncDaemonSwap master";
    says(&site, "lvs2", &format!("{swap} status"), "master: running");
    let lvs2 = site.director("lvs2");
    lvs2.does(&format!("{swap} stop")).unwrap();
    lvs2.does(&format!("{swap} stop")).unwrap();
    says(&site, "lvs2", "lvsadm role", "backup");
    says(
        &site,
        "lvs2",
        &format!("{swap} monitor"),
        "not the master: stopped",
    );
    lvs2.does(&format!("{swap} start")).unwrap();
    says(&site, "lvs2", "lvsadm role", "master");
    assert_eq!(held.ask(), server);
}
