//! Command lines that change something.

use lvs_api::model::{
    Checksum, Family, Method, Persistence, ServerId, ServerSettings, ServiceId, ServiceSettings,
    Tunnel,
};

use super::super::*;
use super::{parsed, tcp};

fn settings(scheduler: &str, persistence: Option<(u32, u8)>) -> ServiceSettings {
    ServiceSettings {
        scheduler: scheduler.to_owned(),
        scheduler_flags: 0,
        persistence: persistence.map(|(timeout, prefix)| Persistence { timeout, prefix }),
        one_packet: false,
        redispatch: None,
        on_down: None,
        timeouts: None,
        engine: None,
        filter: None,
    }
}

#[test]
fn services_are_understood_however_they_are_written() {
    let cases = [
        ("-A -t 1.2.3.4:80", "1.2.3.4:80", settings("wlc", None)),
        ("-At 1.2.3.4:80 -srr", "1.2.3.4:80", settings("rr", None)),
        ("-At1.2.3.4:80 -s=wrr", "1.2.3.4:80", settings("wrr", None)),
        ("-A -t=1.2.3.4:80 --", "1.2.3.4:80", settings("wlc", None)),
        (
            "--add-service --tcp-service=1.2.3.4:80 --sort",
            "1.2.3.4:80",
            settings("wlc", None),
        ),
        (
            "-A -s -rr -t 1.2.3.4:80",
            "1.2.3.4:80",
            settings("-rr", None),
        ),
        (
            "-A -t 1.2.3.4:80 -s averyveryverylongname",
            "1.2.3.4:80",
            settings("averyveryverylo", None),
        ),
        (
            "-A -t 1.2.3.4:80 -s ''",
            "1.2.3.4:80",
            settings("wlc", None),
        ),
        (
            "-A -t 1.2.3.4 -p",
            "1.2.3.4:0",
            settings("wlc", Some((360, 32))),
        ),
        (
            "-A -t 1.2.3.4:80 -p -s rr",
            "1.2.3.4:80",
            settings("rr", Some((360, 32))),
        ),
        (
            "-A -t 1.2.3.4:80 -p300",
            "1.2.3.4:80",
            settings("wlc", Some((300, 32))),
        ),
        (
            "-A -t 1.2.3.4:80 -p=0300",
            "1.2.3.4:80",
            settings("wlc", Some((300, 32))),
        ),
        (
            "-A -t 1.2.3.4:80 --persistent 300",
            "1.2.3.4:80",
            settings("wlc", Some((300, 32))),
        ),
        (
            "-A -t 1.2.3.4:80 -p 60 -M 255.255.255.0",
            "1.2.3.4:80",
            settings("wlc", Some((60, 24))),
        ),
        (
            "-A -t [::1]:80 -p 60 -M 64",
            "[::1]:80",
            settings("wlc", Some((60, 64))),
        ),
        // A mask before its service is one for IPv4, and forgotten if the service is not.
        (
            "-A -p 60 -M 255.255.0.0 -t [::1]:80",
            "[::1]:80",
            settings("wlc", Some((60, 128))),
        ),
    ];
    for (line, address, settings) in cases {
        let edit = Edit::AddService {
            service: tcp(address),
            settings,
        };
        assert_eq!(parsed(line), Ok(Command::Edit(edit)), "{line}");
    }
}

#[test]
fn marks_have_a_family() {
    for (line, family) in [("-D -f 7", Family::Ipv4), ("-D -f 7 -6", Family::Ipv6)] {
        let service = ServiceId::Mark { mark: 7, family };
        assert_eq!(
            parsed(line),
            Ok(Command::Edit(Edit::DeleteService { service }))
        );
    }
}

#[test]
fn servers_get_the_port_their_method_allows() {
    let ipip = Tunnel::Ipip;
    for (line, service, server, method, weight, tunnel) in [
        (
            "-t 1.2.3.4:80 -r 10.0.0.1",
            "1.2.3.4:80",
            "10.0.0.1:80",
            Method::Direct,
            1,
            ipip,
        ),
        (
            "-t 1.2.3.4:80 -r 10.0.0.1:99 -w 0",
            "1.2.3.4:80",
            "10.0.0.1:80",
            Method::Direct,
            0,
            ipip,
        ),
        (
            "-t 1.2.3.4:80 -r 10.0.0.1:99 -i",
            "1.2.3.4:80",
            "10.0.0.1:80",
            Method::Tunnel,
            1,
            ipip,
        ),
        (
            "-t 1.2.3.4:80 -r 10.0.0.1:99 -m",
            "1.2.3.4:80",
            "10.0.0.1:99",
            Method::Nat,
            1,
            ipip,
        ),
        (
            "-t 1.2.3.4:80 -r 10.0.0.1 -m",
            "1.2.3.4:80",
            "10.0.0.1:80",
            Method::Nat,
            1,
            ipip,
        ),
        (
            "-r 10.0.0.1:0 -m -t 1.2.3.4:80",
            "1.2.3.4:80",
            "10.0.0.1:0",
            Method::Nat,
            1,
            ipip,
        ),
        (
            "-t [::1]:80 -r 10.0.0.1 -i",
            "[::1]:80",
            "10.0.0.1:80",
            Method::Tunnel,
            1,
            ipip,
        ),
        (
            "-t 1.2.3.4:80 -r ::1 -i --tun-type gue --tun-port 6080 --tun-remcsum",
            "1.2.3.4:80",
            "[::1]:80",
            Method::Tunnel,
            1,
            Tunnel::Gue {
                port: 6080,
                checksum: Checksum::Remote,
            },
        ),
        (
            "-t 1.2.3.4:80 -r ::1 -i --tun-type gre --tun-csum",
            "1.2.3.4:80",
            "[::1]:80",
            Method::Tunnel,
            1,
            Tunnel::Gre {
                checksum: Checksum::Full,
            },
        ),
    ] {
        let edit = Edit::EditServer {
            service: tcp(service),
            server: ServerId(server.parse().expect("an address")),
            settings: ServerSettings {
                method,
                weight,
                upper: 0,
                lower: 0,
                tunnel,
                snat: None,
            },
        };
        assert_eq!(
            parsed(&format!("-e {line}")),
            Ok(Command::Edit(edit)),
            "{line}"
        );
    }
}

#[test]
fn a_server_to_be_deleted_is_named_with_its_own_port() {
    let server = ServerId("10.0.0.1:99".parse().expect("an address"));
    let edit = Edit::DeleteServer {
        service: tcp("1.2.3.4:80"),
        server,
    };
    assert_eq!(
        parsed("-d -t 1.2.3.4:80 -r 10.0.0.1:99"),
        Ok(Command::Edit(edit))
    );
}

#[test]
fn the_servers_of_a_mark_have_ports_of_their_own() {
    let service = ServiceId::Mark {
        mark: 7,
        family: Family::Ipv4,
    };
    for (server, expected) in [("10.0.0.1", "10.0.0.1:0"), ("10.0.0.1:99", "10.0.0.1:99")] {
        let Ok(Command::Edit(Edit::AddServer {
            service: of,
            server,
            ..
        })) = parsed(&format!("-a -f 7 -r {server}"))
        else {
            panic!("{server} is refused");
        };
        assert_eq!((of, server.0.to_string().as_str()), (service, expected));
    }
}

#[test]
fn timeouts_may_stand_anywhere() {
    let timeouts = Timeouts {
        tcp: 1,
        tcp_fin: 2,
        udp: 0,
    };
    for line in ["--set 1 2 0", "--set +1 -- 2 0"] {
        assert_eq!(
            parsed(line),
            Ok(Command::Edit(Edit::SetTimeouts(timeouts))),
            "{line}"
        );
    }
}
