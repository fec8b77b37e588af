//! Real keepalived, with two instances in a group and a script that it tracks.

use lvs_tests::lab::Page;

use crate::site::{Serving, explain, site};

const LOG: &str = "tail -n 20 /var/log/ldirectord.log; lvsadm --status; lvsadm -Ln; ip -4 address";

#[test]
fn keepalived_moves_both_addresses_and_the_role_as_the_page_says() {
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
    page.was_followed_but(&[]);
}
