//! Real Pacemaker and Corosync, two nodes.

use lvs_tests::lab::Page;

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
    let serves = Serving::new(&site, "10.0.0.3");
    serves.through_a_crash(&mut page);

    page.follow(&site, "Taking lvs1 out");
    serves.only("lvs2");
    page.was_followed_but(&[]);
}
