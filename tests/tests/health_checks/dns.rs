//! DNS checks of dnsmasq.

use lvs_api::model::Family::Ipv6;
use lvs_health::checkers::dns::Dns;
use lvs_tests::lab::Island;

use crate::asker::{Asker, assert_says, pattern};
use crate::faulty_proxy::spoil;

fn dns(name: &str, record: &str, receive: Option<&str>) -> Dns {
    Dns {
        name: name.to_owned(),
        record: record.to_owned(),
        receive: receive.map(pattern),
        tcp: false,
    }
}

fn over_tcp(dns: Dns) -> Dns {
    Dns { tcp: true, ..dns }
}

#[test]
fn dnsmasq_is_good_if_it_has_the_record() {
    let Some(island) = Island::for_story(&["dnsmasq"]) else {
        return;
    };
    let dnsmasq = island
        .start(
            "dnsmasq",
            &[
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--pid-file=",
                "--user=root",
                "--log-facility=-",
                "--host-record=www.example,10.9.0.80,fd00:9::80",
                "--mx-host=example,mail.example,10",
                "--txt-record=example,hello from dns",
                "--srv-host=_sip._udp.example,sip.example,5060,1,2",
                "--ptr-record=80.0.9.10.in-addr.arpa,www.example",
                "--cname=alias.example,www.example",
                "--local=/example/",
            ],
            53,
        )
        .unwrap();
    let asker = Asker { island: &island };
    for (name, record, receive, said) in [
        ("www.example", "A", None, "10.9.0.80"),
        ("www.example", "AAAA", Some("^fd00:9::80$"), "fd00:9::80"),
        ("alias.example", "A", Some("10.9.0.80"), "10.9.0.80"),
        ("example", "MX", Some("mail"), "10 mail.example"),
        ("example", "TXT", Some("hello"), "\"hello from dns\""),
        (
            "_sip._udp.example",
            "SRV",
            Some("5060"),
            "1 2 5060 sip.example",
        ),
        ("10.9.0.80", "A", Some("www"), "www.example"),
    ] {
        let service = dns(name, record, receive);
        asker.good(53, &service, &format!("*{said}* from 10.9.0.1:53"));
        let service = over_tcp(service);
        asker.good(53, &service, &format!("*{said}* from 10.9.0.1:53"));
    }
    let address = dns("www.example", "A", None);
    let over_ipv6 = asker.ask(Ipv6, 53, address.clone());
    assert_says(&over_ipv6, true, "*10.9.0.80* from [fd00:9::1]:53");

    asker.bad(
        53,
        &dns("www.example", "A", Some("10.9.0.81")),
        "*10.9.0.80* from 10.9.0.1:53, expected \"10.9.0.81\"",
    );
    asker.bad(
        53,
        &dns("www.example", "MX", None),
        "no MX records from 10.9.0.1:53, expected MX records",
    );
    asker.bad(
        53,
        &dns("none.example", "A", None),
        "NXDOMAIN from 10.9.0.1:53, expected A records",
    );
    // It has nobody to ask.
    asker.bad(
        53,
        &dns("www.other", "A", None),
        "REFUSED from 10.9.0.1:53, expected A records",
    );
    spoil(&asker, 53, &over_tcp(address.clone()), &[0, 1, 20]);
    dnsmasq.freeze();
    asker.silent(53, &address, "no answer from 10.9.0.1:53 in LIMIT");
    dnsmasq.thaw();
    dnsmasq.stop().unwrap();
    asker.bad(53, &address, "no answer from 10.9.0.1:53: *");
}
