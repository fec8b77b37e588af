//! Real Pacemaker and Corosync, two nodes.

use std::time::Instant;

use crate::page::Page;
use crate::site::{Serving, explain, site};

const LOG: &str = "crm_mon --one-shot --show-detail; crm configure show; lvsadm role; \
    tail -n 20 /var/log/corosync/corosync.log; grep -E 'error|warning|lvs' /var/log/pacemaker/pacemaker.log \
    | tail -n 60; tail -n 20 /var/log/ldirectord.log; ip -4 address";

#[test]
fn pacemaker_promotes_the_director_as_the_page_says() {
    let needed = ["corosync", "pacemakerd", "crm", "crm_master", "ocf-tester"];
    let Some(site) = site(&["10.0.0"], &needed) else {
        return;
    };
    let _explained = explain(&site, LOG);
    let mut page = Page::read("pacemaker.md");
    for section in ["The real servers", "The directors", "Start"] {
        page.follow(&site, section);
    }
    let serves = Serving::new(&site, "10.0.0.3");
    serves.only("lvs1");

    let crashed = Instant::now();
    site.crash("lvs1").unwrap();
    serves.again("crash", crashed);
    page.follow(&site, "When lvs1 dies");
    serves.only("lvs2");

    site.boot("lvs1").unwrap();
    page.follow(&site, "When lvs1 comes back");
    serves.only("lvs1");

    page.follow(&site, "Taking lvs1 out");
    serves.only("lvs2");
    page.was_followed_but(&[]);
}
