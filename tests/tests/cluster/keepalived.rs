//! Real keepalived, with two instances in a group and a script that it tracks.

use std::time::Instant;

use crate::page::Page;
use crate::site::{Serving, explain, site};

const LOG: &str = "tail -n 20 /var/log/ldirectord.log; lvsadm --status; lvsadm -Ln; ip -4 address";

#[test]
fn keepalived_moves_both_addresses_and_the_role_as_the_page_says() {
    let Some(site) = site(&["192.168.25", "10.0.0"], &["keepalived"]) else {
        return;
    };
    let _explained = explain(&site, LOG);
    let mut page = Page::read("keepalived.md");
    for section in ["The real servers", "The directors", "Start"] {
        page.follow(&site, section);
    }
    let serves = Serving::new(&site, "192.168.25.203");
    let gateway = |name: &str| {
        let shown = "ip -4 -o address show to 10.0.0.3 | wc -l";
        crate::site::says(&site, name, shown, "1");
    };
    serves.only("lvs1");
    gateway("lvs1");

    let crashed = Instant::now();
    site.crash("lvs1").unwrap();
    serves.again("crash", crashed);
    page.follow(&site, "When lvs1 dies");
    serves.only("lvs2");
    gateway("lvs2");

    site.boot("lvs1").unwrap();
    page.follow(&site, "When lvs1 comes back");
    serves.only("lvs1");
    gateway("lvs1");

    page.follow(&site, "When the director on lvs1 is not healthy");
    serves.only("lvs1");

    page.follow(&site, "Taking lvs1 out");
    serves.only("lvs2");
    gateway("lvs2");
    page.was_followed_but(&[]);
}
