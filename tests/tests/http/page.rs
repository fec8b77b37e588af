//! The page, in a real browser.

use std::fs;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::virtual_address;
use lvs_tests::lab::{programs, skipped};
use serde_json::json;

use crate::browser::Browser;
use crate::web_lab::{ADDRESS, PATIENCE, WebLab};

const LOADED: &str = "document.body?.dataset.loaded === 'yes'";

fn url() -> String {
    format!("http://{ADDRESS}/")
}

/// A browser beside the director of a lab; none where there can be none.
fn browser() -> bool {
    !skipped(programs(&["chromium", "setsid"]))
}

#[track_caller]
fn had_no_errors(browser: &mut Browser) {
    assert_eq!(browser.errors, [""; 0]);
    let elsewhere = browser
        .asked
        .iter()
        .find(|asked| !asked.starts_with(&url()) && !asked.starts_with("data:"));
    assert_eq!(elsewhere, None, "the page asks others");
}

#[test]
fn services_servers_and_events_are_shown() {
    if !browser() {
        return;
    }
    let Some(web) = WebLab::open() else {
        return;
    };
    for _ in 0..40 {
        web.lab.client.get(virtual_address(Ipv4, Nat)).unwrap();
    }
    let mut browser = Browser::start(&web.lab);
    browser.looks(1600, 900, "light");
    browser.open(&url());
    browser.wait(LOADED);
    let text = browser.value("document.body.innerText");
    let text = text.as_str().unwrap();
    for wanted in [
        "shop",
        "10.2.0.11:80",
        "10.2.0.12:80",
        "▲ up",
        "HTTP 200",
        "2 of 2 up",
        "master",
        "40",
    ] {
        assert!(text.contains(wanted), "no {wanted} in\n{text}");
    }
    browser.picture("page-light");
    web.lab
        .director
        .lvsadm("server shop 10.2.0.11 drain")
        .unwrap();
    browser.wait("document.querySelector('#events').innerText.includes('drain')");
    browser.wait("document.querySelector('#services').innerText.includes('◐ drain')");
    browser.looks(1600, 900, "dark");
    browser.picture("page-dark");
    browser.looks(390, 844, "light");
    browser.picture("page-phone");
    let wider = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
    assert_eq!(
        browser.value(wider),
        json!(false),
        "the phone's screen is too narrow"
    );
    had_no_errors(&mut browser);
}

#[test]
fn who_may_operate_is_asked_before_a_server_is_drained() {
    if !browser() {
        return;
    }
    let Some(web) = WebLab::with_users() else {
        return;
    };
    let mut browser = Browser::start(&web.lab);
    browser.looks(1200, 900, "light");
    browser.log_in("anna", "open sesame");
    browser.open(&url());
    browser.wait(LOADED);
    browser.value("document.querySelector('tr.server .open').click()");
    browser.wait("document.querySelector('#detail').open");
    browser.value("document.querySelector('[data-order=drain]').click()");
    browser.wait("document.querySelector('#confirm').innerText.includes('Drain 10.2.0.1')");
    browser.picture("page-confirm");
    let drained = || web.lab.director.lvsadm("status").unwrap().contains("drain");
    assert!(!drained(), "it is not confirmed yet");
    browser.value("document.querySelector('#confirm-yes').click()");
    browser.wait("document.querySelector('#outcome').innerText === 'Done.'");
    assert!(drained());
    browser.wait("document.querySelector('#detail-state').innerText.includes('drain')");
    browser.value("document.querySelector('#weight').value = 7");
    browser.value("document.querySelector('[data-order=weight]').click()");
    browser.value("document.querySelector('#confirm-no').click()");
    browser.value("document.querySelector('[data-order=ready]').click()");
    browser.value("document.querySelector('#confirm-yes').click()");
    browser.wait("document.querySelector('#detail-state').innerText.includes('up')");
    assert!(
        web.lab
            .director
            .lvsadm("-Sn")
            .unwrap()
            .matches("-w 5")
            .count()
            == 2
    );
}

#[test]
fn who_may_read_is_offered_no_change() {
    if !browser() {
        return;
    }
    let Some(web) = WebLab::with_users() else {
        return;
    };
    let mut browser = Browser::start(&web.lab);
    browser.log_in("rita", "open sesame");
    browser.open(&url());
    browser.wait(LOADED);
    browser.value("document.querySelector('tr.server .open').click()");
    browser.wait("document.querySelector('#detail').open");
    assert_eq!(
        browser.value("document.querySelector('#actions').hidden"),
        json!(true)
    );
}

#[test]
fn text_of_others_stays_text() {
    if !browser() {
        return;
    }
    let Some(web) = WebLab::new() else {
        return;
    };
    let text = fs::read_to_string(web.configuration()).unwrap();
    fs::write(
        web.configuration(),
        text.replace("shop", "<img src=x onerror=alert(1)>"),
    )
    .unwrap();
    web.start(&[]);
    let mut browser = Browser::start(&web.lab);
    browser.open(&url());
    browser.wait(LOADED);
    browser.wait("document.querySelector('#services').innerText.includes('<img src=x')");
    assert_eq!(
        browser.value("document.querySelectorAll('img').length"),
        json!(0)
    );
    // The content policy holds whatever gets into the page.
    let policy = "(() => { const made = document.createElement('script'); made.textContent = 'window.broken = 1'; \
                  document.body.append(made); return window.broken === undefined; })()";
    assert_eq!(browser.value(policy), json!(true));
}

#[test]
fn many_services_are_sorted_by_trouble_and_filtered() {
    if !browser() {
        return;
    }
    let Some(web) = WebLab::open() else {
        return;
    };
    let lines: Vec<_> = (1..=300)
        .map(|port| {
            let service = format!("10.1.0.200:{port}");
            format!("-A -t {service} -s wlc\n-a -t {service} -r 10.2.0.11:80 -m\n-a -t {service} -r 10.2.0.12:80 -m\n")
        })
        .collect();
    web.lab
        .director
        .restore(&(web.lab.director.lvsadm("-Sn").unwrap() + &lines.concat()))
        .unwrap();
    let mut browser = Browser::start(&web.lab);
    browser.looks(1600, 900, "light");
    browser.open(&url());
    browser.wait(LOADED);
    browser.wait("document.querySelectorAll('tr.service').length === 301");
    // Their servers are asked for when they are opened.
    assert_eq!(
        browser.value("document.querySelectorAll('tr.server').length"),
        json!(0)
    );
    browser.value("document.querySelector('tr.service .open').click()");
    browser.wait("document.querySelectorAll('tr.server').length === 2");
    browser.value(
        "(() => { const it = document.querySelector('#filter'); it.value = '10.1.0.200:77'; \
                   it.dispatchEvent(new Event('input')); })()",
    );
    browser.wait("document.querySelectorAll('tr.service').length === 1");
    browser.wait("document.querySelectorAll('tr.server').length === 2");
    // What is said of all services stays.
    browser.wait("state.data.totals.services === 301");
    browser.value(
        "(() => { const it = document.querySelector('#filter'); it.value = ''; \
                   it.dispatchEvent(new Event('input')); })()",
    );
    browser.wait("document.querySelectorAll('tr.service').length === 301");
    browser.picture("page-many");
    had_no_errors(&mut browser);
}

#[test]
fn the_same_is_there_as_csv_and_json() {
    let Some(web) = WebLab::open() else {
        return;
    };
    // On a busy machine a health check may fail.
    let up = || web.ask("/stats.csv", &[]).body.matches(",UP,").count() == 3;
    assert!(eventually(PATIENCE, up));
    let table = web.ask("/stats;csv", &[]);
    assert!(
        table.head.contains("content-type: text/csv"),
        "{}",
        table.head
    );
    let mut lines = table.body.lines();
    let names: Vec<_> = lines
        .next()
        .unwrap()
        .trim_start_matches("# ")
        .split(',')
        .collect();
    let rows: Vec<Vec<_>> = lines.map(|line| line.split(',').collect()).collect();
    let column = |row: &[&str], name: &str| {
        let place = names.iter().position(|it| *it == name).unwrap();
        row[place].to_owned()
    };
    let servers: Vec<_> = rows.iter().map(|row| column(row, "svname")).collect();
    assert_eq!(
        servers,
        ["FRONTEND", "10.2.0.11:80", "10.2.0.12:80", "BACKEND"]
    );
    assert_eq!(column(&rows[1], "pxname"), "shop");
    assert_eq!(column(&rows[1], "status"), "UP");
    assert_eq!(column(&rows[3], "act"), "2");
    let json: serde_json::Value = serde_json::from_str(&web.ask("/stats.json", &[]).body).unwrap();
    assert_eq!(json["services"][0]["servers"][0]["state"], "up");
}
