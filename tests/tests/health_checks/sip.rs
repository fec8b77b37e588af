//! SIP checks of Kamailio.

use std::fs;

use lvs_api::model::Family::Ipv6;
use lvs_health::checkers::sip::Sip;
use lvs_tests::lab::Island;
use lvs_tests::lab::island::Server;

use crate::asker::{Asker, assert_says};
use crate::faulty_proxy::spoil;

#[test]
fn kamailio_is_good_if_it_answers_sip_options() {
    let Some(island) = Island::for_story(&["kamailio"]) else {
        return;
    };
    let kamailio = kamailio(&island);
    let asker = Asker { island: &island };
    let sip = |user: &str, tcp: bool| Sip {
        login: format!("{user}@10.9.0.1"),
        tcp,
    };
    let (udp, tcp) = (sip("ldirectord", false), sip("ldirectord", true));
    let good = "\"SIP/2.0 200 OK\" from 10.9.0.1:5060";
    asker.good(5060, &udp, good);
    asker.good(5060, &tcp, good);
    let over_ipv6 = asker.ask(Ipv6, 5060, udp.clone());
    assert_says(&over_ipv6, true, "\"SIP/2.0 200 OK\" from [fd00:9::1]:5060");
    asker.bad(
        5060,
        &sip("nobody", false),
        "\"SIP/2.0 404 Not Found\" from 10.9.0.1:5060, expected SIP/2.0 200",
    );
    spoil(&asker, 5060, &tcp, &[0, 7]);
    kamailio.freeze();
    asker.silent(5060, &udp, "no answer from 10.9.0.1:5060 in LIMIT");
    asker.silent(5060, &tcp, "no answer from 10.9.0.1:5060 in LIMIT");
    kamailio.thaw();
    kamailio.stop().unwrap();
    asker.bad(5060, &udp, "no answer from 10.9.0.1:5060: *");
    asker.bad(5060, &tcp, "connection to 10.9.0.1:5060 refused");
}

fn kamailio(island: &Island) -> Server {
    let folder = island.make_folder("kamailio", "root").unwrap();
    let settings = r#"#!KAMAILIO
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
listen=udp:10.9.0.1:5060
listen=tcp:10.9.0.1:5060
listen=udp:[fd00:9::1]:5060
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
request_route {
    if (is_method("OPTIONS") && $rU == "ldirectord") {
        sl_send_reply("200", "OK");
    } else {
        sl_send_reply("404", "Not Found");
    }
}
"#;
    let configuration = folder.join("kamailio.cfg").display().to_string();
    fs::write(&configuration, settings).unwrap();
    let run = folder.display().to_string();
    let arguments = [
        "-DD",
        "-f",
        &*configuration,
        "-Y",
        &run,
        "-m",
        "16",
        "-M",
        "4",
    ];
    island.start("kamailio", &arguments, 5060).unwrap()
}
