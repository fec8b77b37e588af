//! Real Heartbeat, and its resource scripts.

use std::time::Instant;

use crate::page::Page;
use crate::site::{Serving, explain, site};

const LOG: &str = "tail -n 40 /var/log/ha-log; tail -n 20 /var/log/ldirectord.log";

#[test]
fn heartbeat_moves_the_director_as_the_page_says() {
    let Some(site) = site(&["10.0.0"], &["cl_status"]) else {
        return;
    };
    let _explained = explain(&site, LOG);
    let mut page = Page::read("heartbeat.md");
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
    page.was_followed();
}
