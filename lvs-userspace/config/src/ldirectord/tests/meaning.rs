//! Lines of virtual services and real servers.

use std::path::PathBuf;
use std::time::Duration;

use lvs_api::model::{Family, Method, Persistence, Protocol, ServiceId};
use lvs_dataplane::director::OnDown;
use lvs_health::check::{Kind, Path};
use lvs_health::checker::Negotiate;
use lvs_health::checkers::dns::Dns;
use lvs_health::checkers::ftp::Ftp;
use lvs_health::checkers::http::Http;
use lvs_health::checkers::nntp::Nntp;
use lvs_health::checkers::none::Nothing;
use lvs_health::checkers::pgsql::Pgsql;
use lvs_health::checkers::redis::Redis;
use lvs_health::checkers::simpletcp::SimpleTcp;
use lvs_health::checkers::smtp::Smtp;
use lvs_health::checkers::udp::Udp;
use lvs_health::model::{Phases, Weighing};

use super::{configuration, only, section, server};

/// Addresses of the servers of a file.
fn addresses(text: &str) -> Vec<String> {
    let servers = only(text).servers;
    servers
        .iter()
        .map(|server| server.id.0.to_string())
        .collect()
}

/// The settings of a negotiation, which has to be of this kind.
fn parsed<T: Negotiate + Clone>(kind: &Kind) -> T {
    let (Kind::Negotiate(checker) | Kind::Combined { checker, .. }) = kind else {
        panic!("{kind:?}");
    };
    let settings: Option<&T> = checker.get();
    settings.unwrap_or_else(|| panic!("{kind:?}")).clone()
}

fn negotiated<T: Negotiate + Clone>(lines: &[&str]) -> T {
    let all: Vec<_> = ["real = 10.0.0.1 masq"]
        .iter()
        .chain(lines)
        .copied()
        .collect();
    parsed(&server(&all).checks[0].kind)
}

#[test]
fn virtual_services_are_addresses_or_marks() {
    let text = "\
virtual = www:http
    real = web1:80 gate
virtual=192.0.2.10:53
\treal=10.0.0.1:53 gate
virtual = 7
    real = 10.0.0.1 gate
virtual6 = 7
    real6 = [2001:db8::1] gate
virtual6 = [2001:db8::10]:80
    real6 = web1:80 gate
virtual = 192.0.2.10:0
    protocol = sctp
";
    let ids: Vec<_> = configuration(text)
        .virtuals
        .into_iter()
        .map(|service| service.id)
        .collect();
    let address = |protocol, address: &str| ServiceId::Address {
        protocol,
        address: address.parse().unwrap(),
    };
    let mark = |family| ServiceId::Mark { mark: 7, family };
    assert_eq!(
        ids,
        [
            address(Protocol::Tcp, "192.0.2.10:80"),
            address(Protocol::Udp, "192.0.2.10:53"),
            mark(Family::Ipv4),
            mark(Family::Ipv6),
            address(Protocol::Tcp, "[2001:db8::10]:80"),
            address(Protocol::Sctp, "192.0.2.10:0"),
        ]
    );
}

#[test]
fn indentation_and_empty_lines_do_no_harm() {
    let service = only(
        "virtual=192.0.2.10:80\n\n real=10.0.0.1:80 gate\n\n# a\n\t  real=10.0.0.2:80 gate \r\n   \n",
    );
    assert_eq!(service.servers.len(), 2);
}

#[test]
fn ranges_are_counted_as_numbers() {
    let range = |line| addresses(&section(&[line]));
    assert_eq!(
        range("real = 10.0.0.9->10.0.0.11:80 gate"),
        ["10.0.0.9:80", "10.0.0.10:80", "10.0.0.11:80"]
    );
    assert_eq!(
        range("real = 10.0.0.255->10.0.1.1 gate"),
        ["10.0.0.255:80", "10.0.1.0:80", "10.0.1.1:80"]
    );
    assert_eq!(range("real = web1->web3:80 gate").len(), 3);
}

#[test]
fn only_nat_changes_the_port() {
    let service = section(&[
        "real = 10.0.0.1:8080 gate",
        "real = 10.0.0.2:8080 masq",
        "real = 10.0.0.3 masq",
    ]);
    assert_eq!(
        addresses(&service),
        ["10.0.0.1:80", "10.0.0.2:8080", "10.0.0.3:80"]
    );
    // The check goes where the file says.
    let ports: Vec<_> = only(&service)
        .servers
        .iter()
        .map(|server| server.checks[0].target.port())
        .collect();
    assert_eq!(ports, [8080, 8080, 80]);
}

#[test]
fn a_real_line_has_weight_strings_thresholds_and_options() {
    let server = server(&[
        "receive = \"no\"",
        "real = web1:80 ipip 5 \"/a b\", \"O.*K\" l:10 u:20 backup=yes rise=3 interval=200ms",
    ]);
    assert_eq!(server.name.as_deref(), Some("web1"));
    assert_eq!(server.settings.method, Method::Tunnel);
    let settings = server.settings;
    assert_eq!(
        (settings.weight, settings.lower, settings.upper),
        (5, 10, 20)
    );
    assert!(server.backup);
    assert_eq!(server.rhythm.rise, 3);
    assert_eq!(server.rhythm.interval, Duration::from_millis(200));
    let http: Http = parsed(&server.checks[0].kind);
    assert_eq!(http.request, "/a b");
    assert_eq!(http.receive.as_ref().unwrap().expression(), "O.*K");
}

#[test]
fn a_request_alone_leaves_receive_and_thresholds() {
    for line in [
        "real = 10.0.0.1:80 gate 2 \"/a.txt\" l:1 u:2",
        "real = 10.0.0.1:80 gate 2 \"a.txt\" u:2 l:1",
    ] {
        let server = server(&["receive = \"yes\"", line]);
        assert_eq!((server.settings.lower, server.settings.upper), (1, 2));
        let http: Http = parsed(&server.checks[0].kind);
        assert_eq!(http.request, "/a.txt");
        assert_eq!(http.receive.as_ref().unwrap().expression(), "yes");
    }
}

#[test]
fn settings_of_the_service() {
    let service = only(&section(&[
        "scheduler = sh",
        "schedflags = sh-port,sh-fallback",
        "persistent = 10m",
        "netmask = 255.255.255.0",
        "persistenceengine = sip",
        "real = 10.0.0.1:80 gate",
        "fallback = 127.0.0.1, 10.0.0.9:8080 masq",
        "quiescent = yes",
        "cleanstop = no",
        "ondown = reset",
        "redispatch = yes",
        "quorum = 2",
        "hysteresis = 1",
        "quorum_up = \"/bin/up x\"",
        "allbackups = yes",
        "slowstart = 1m",
        "emailalert = \"a@example.com, b@example.com\"",
        "emailalertfreq = 1h",
        "emailalertstatus = running, stopping",
        "smtp = mail",
        "monitorfile = /tmp/monitor",
        "servicename = Web \"shop\"",
        "comment = more",
    ]));
    let settings = &service.settings;
    assert_eq!(settings.scheduler, "sh");
    assert_eq!(settings.scheduler_flags, 0x18);
    assert_eq!(
        settings.persistence,
        Some(Persistence {
            timeout: 600,
            prefix: 24
        })
    );
    assert_eq!(settings.engine.as_deref(), Some("sip"));
    assert_eq!(settings.redispatch, Some(true));
    let fallbacks: Vec<_> = service
        .fallbacks
        .iter()
        .map(|fallback| (fallback.id.0.to_string(), fallback.settings.method))
        .collect();
    assert_eq!(
        fallbacks,
        [
            ("127.0.0.1:80".to_owned(), Method::Direct),
            ("10.0.0.9:8080".to_owned(), Method::Nat)
        ]
    );
    assert!(service.quiescent && !service.clean_stop && service.all_backups);
    assert_eq!(settings.on_down, Some(OnDown::Reset));
    assert_eq!(service.on_down, OnDown::Reset);
    assert_eq!((service.quorum.weight, service.quorum.hysteresis), (2, 1));
    assert_eq!(service.quorum.up_command.as_deref(), Some("/bin/up x"));
    assert_eq!(service.slow_start, Duration::from_mins(1));
    assert_eq!(service.alerts.to, ["a@example.com", "b@example.com"]);
    assert_eq!(service.alerts.repeat, Duration::from_hours(1));
    let phases = Phases {
        running: true,
        stopping: true,
        starting: false,
        reloading: false,
    };
    assert_eq!(service.alerts.phases, phases);
    assert_eq!(service.monitor_file, Some(PathBuf::from("/tmp/monitor")));
    assert_eq!(service.service_name.as_deref(), Some("Web \"shop\""));
}

#[test]
fn nothing_said_is_what_ldirectord_does() {
    let service = only(&section(&["real = 10.0.0.1:80 gate"]));
    assert_eq!(service.settings.scheduler, "wrr");
    assert!(!service.quiescent && service.clean_stop);
    assert_eq!(service.settings.redispatch, Some(false));
    assert_eq!(service.settings.engine, None);
    assert_eq!(service.on_down, OnDown::Keep);
    assert_eq!(service.alerts.phases, Phases::default());
    let server = &service.servers[0];
    assert_eq!(server.settings.weight, 1);
    assert_eq!(server.rhythm.interval, Duration::from_secs(10));
    assert_eq!((server.rhythm.rise, server.rhythm.fall), (1, 1));
    assert_eq!(server.checks[0].timeout, Duration::from_secs(30));
    assert_eq!(server.checks[0].path, Path::Own);
    let http: Http = parsed(&server.checks[0].kind);
    assert_eq!((http.method.as_str(), http.request.as_str()), ("GET", "/"));
    assert_eq!((http.redirects, &http.tls), (7, &None));
    assert!(http.status.is_empty() && http.receive.is_none());
}

#[test]
fn types_of_checks() {
    let kind = |lines: &[&str]| {
        let all: Vec<_> = ["real = 10.0.0.1 masq"]
            .iter()
            .chain(lines)
            .copied()
            .collect();
        server(&all).checks.remove(0).kind.clone()
    };
    assert_eq!(kind(&["checktype = connect"]), Kind::Connect);
    assert_eq!(kind(&["checktype = on"]), Kind::On);
    assert_eq!(kind(&["checktype = off"]), Kind::Off);
    let ping = Kind::Ping { attempts: 3 };
    assert_eq!(kind(&["checktype = ping", "checkcount = 3"]), ping);
    let ping = Kind::Ping { attempts: 1 };
    assert_eq!(kind(&["checktype = connect", "protocol = udp"]), ping);
    let combined = kind(&["checktype = 4"]);
    assert!(matches!(combined, Kind::Combined { connects: 4, .. }));
    parsed::<Http>(&combined);
    assert!(matches!(kind(&["checktype = 0"]), Kind::Negotiate(_)));
    let udp = kind(&["checktype = 4", "protocol = udp", "service = dns"]);
    assert!(matches!(udp, Kind::Negotiate(_)));
    parsed::<Dns>(&udp);
    let Kind::External(external) = kind(&[
        "checktype = external-perl",
        "checkcommand = /usr/bin/check",
        "weightby = script",
    ]) else {
        panic!("no command");
    };
    assert!(external.perl && external.weighs);
    assert_eq!(external.command, PathBuf::from("/usr/bin/check"));
    assert_eq!(external.virtual_address, "192.0.2.10");
    // As it is written: no port is 0.
    assert_eq!((external.virtual_port, external.server_port), (80, 0));
}

#[test]
fn services_by_name() {
    let _: Nothing = negotiated(&["service = none"]);
    let _: Nntp = negotiated(&["service = nntp"]);
    let smtp: Smtp = negotiated(&["service = smtp"]);
    assert_eq!(smtp, Smtp { tls: None });
    let https: Http = negotiated(&[
        "service = https",
        "sni = a.example",
        "cafile = /etc/hosts",
        "verify = no",
        "virtualhost = b.example",
        "httpmethod = head",
        "status = 200-299,304",
        "receivenot = \"x\"",
        "redirects = 0",
    ]);
    let tls = https.tls.unwrap();
    assert_eq!(tls.name.as_deref(), Some("a.example"));
    assert_eq!(tls.authorities, Some(PathBuf::from("/etc/hosts")));
    assert!(tls.unverified);
    assert_eq!(https.virtual_host.as_deref(), Some("b.example"));
    assert_eq!((https.method.as_str(), https.redirects), ("HEAD", 0));
    assert_eq!(https.status, [200..=299, 304..=304]);
    assert!(https.receive.unwrap().is_negative());
    let Ftp {
        credentials,
        request,
        ..
    } = negotiated(&["service = ftp", "request = \"/a.txt\""]);
    assert_eq!(
        (credentials.login.as_str(), request.as_str()),
        ("anonymous", "a.txt")
    );
    assert!(credentials.password.starts_with("ldirectord@"));
    let Dns {
        name, record, tcp, ..
    } = negotiated(&["service = dns", "request = \"192.0.2.1\""]);
    assert_eq!(
        (name.as_str(), record.as_str(), tcp),
        ("192.0.2.1", "PTR", true)
    );
    let Pgsql(sql) = negotiated(&[
        "service = pgsql",
        "request = \"SELECT 1\"",
        "receive = \"x\"",
        "row = \"1\"",
    ]);
    assert_eq!(sql.query, "SELECT 1");
    assert_eq!(sql.receive.unwrap().expression(), "1");
    let SimpleTcp { request, .. } = negotiated(&["service = simpletcp", "request = \"/a\\nb\""]);
    assert_eq!(request, "a\nb");
    let Udp { payload, .. } = negotiated(&["service = udp", "request = \"\\x00\\xffa\""]);
    assert_eq!(payload, b"\x00\xffa");
}

#[test]
fn a_whole_url_is_asked_as_it_is() {
    let http: Http = negotiated(&["request = \"http://10.9.9.9:81/x\""]);
    assert_eq!(http.request, "http://10.9.9.9:81/x");
}

#[test]
fn several_checks_inherit_what_they_do_not_say() {
    let server = server(&[
        "real = 10.0.0.1:80 gate",
        "request = \"/all\"",
        "negotiatetimeout = 3",
        "check = connect checkport=22",
        "check = negotiate service=http request=\"/one two\" status=200 timeoutconnect=100ms timeoutresponse=1s",
        "check = negotiate service=redis checkport=6379",
    ]);
    let [ssh, http, redis] = server.checks.as_slice() else {
        panic!("{server:?}");
    };
    assert_eq!((&ssh.kind, ssh.target.port()), (&Kind::Connect, 22));
    assert_eq!(ssh.timeout, Duration::from_secs(3));
    let asked: Http = parsed(&http.kind);
    assert_eq!(asked.request, "/one two");
    assert_eq!(http.connect_timeout, Duration::from_millis(100));
    assert_eq!(http.timeout, Duration::from_millis(1100));
    assert_eq!(parsed::<Redis>(&redis.kind).request, "all");
    assert_eq!(redis.target.port(), 6379);
}

#[test]
fn probes_can_go_the_way_of_packets() {
    let path = |method: &str| {
        let real = format!("real = 10.0.0.1:80 {method}");
        server(&[&real, "checkpath = service"]).checks[0].path
    };
    let service = |method| Path::Service {
        address: "192.0.2.10:80".parse().unwrap(),
        method,
    };
    assert_eq!(path("gate"), service(Method::Direct));
    // Neither method changes the port of packets, but a check may name one.
    let other = server(&[
        "real = 10.0.0.1:80 gate",
        "checkpath = service",
        "checkport = 81",
    ]);
    assert_eq!(
        other.checks[0].path,
        Path::Service {
            address: "192.0.2.10:81".parse().unwrap(),
            method: Method::Direct
        }
    );
    assert_eq!(path("ipip"), service(Method::Tunnel));
    assert_eq!(path("masq"), Path::Own);
}

#[test]
fn weights_follow_what_is_said() {
    let weighing = |line: &str| server(&["real = 10.0.0.1:80 gate", line]).weighing;
    assert_eq!(weighing("weightby = configured"), Weighing::Configured);
    assert_eq!(weighing("weightby = time"), Weighing::ResponseTime);
    assert_eq!(weighing("weightby = script"), Weighing::ExitCode);
    assert_eq!(
        weighing("weightby = agent:9999"),
        Weighing::Agent {
            address: "10.0.0.1:9999".parse().unwrap(),
            interval: Duration::from_secs(10),
            send: None
        }
    );
}

#[test]
fn the_howtos_old_file_loads() {
    // The shape of the LVS HOWTO's www.cf of 2000: `timeout`, five blanks of indentation.
    let text = "\
timeout = 10
checkinterval = 10
virtual = 10.0.0.3:80
     protocol = tcp
     scheduler = wlc
     real = 192.168.0.1:80 gate 5
     real = 192.168.0.2:80 gate 5
     request = \"/.testpage\"
     receive = \"test page\"
";
    let service = only(text);
    assert_eq!(service.servers.len(), 2);
    assert_eq!(
        service.servers[0].checks[0].timeout,
        Duration::from_secs(10)
    );
}

#[test]
fn idle_timeouts_are_those_of_the_service_or_the_file() {
    let text = "udptimeout = 10\ntcptimeout = 1h\n".to_owned()
        + &section(&["real = 10.0.0.1:80 gate", "tcptimeout = 1500ms"]);
    let timeouts = only(&text).settings.timeouts.unwrap();
    let found = (timeouts.tcp, timeouts.tcp_fin, timeouts.udp);
    assert_eq!(found, (2, 0, 10));
}

#[test]
fn a_preset_says_what_the_file_does_not() {
    let real = section(&["real = 10.0.0.1:80 gate", "rise = 4"]);
    let service = only(&format!("preset = modern\nfastinterval = 70ms\n{real}"));
    let rhythm = service.servers[0].rhythm;
    assert_eq!(service.on_down, OnDown::Reset);
    assert_eq!(service.settings.redispatch, Some(true));
    let times = [rhythm.interval, rhythm.fast].map(|time| time.as_millis());
    assert_eq!(times, [400, 70]);
    assert_eq!((rhythm.fall, rhythm.rise, rhythm.jitter), (2, 4, 10));
    // Old words of the file go first, and the order does not matter.
    let service = only(&format!(
        "checkinterval = 7\nfailurecount = 3\npreset = modern\nondown = keep\n{real}"
    ));
    let rhythm = service.servers[0].rhythm;
    assert_eq!((rhythm.interval.as_secs(), rhythm.fall), (7, 3));
    assert_eq!(service.on_down, OnDown::Keep);
    // Without it, the file means what it means to ldirectord.
    let service = only(&real);
    assert_eq!(service.on_down, OnDown::Keep);
    assert_eq!(service.settings.redispatch, Some(false));
    assert_eq!(service.servers[0].rhythm.interval.as_secs(), 10);
}
