use super::*;
use crate::sample;

/// The services of the goldens; what they print was seen with ipvsadm and the kernel's IPVS.
fn services() -> Vec<Service> {
    let mut web = sample::service("-t 192.0.2.10:80");
    web.stats = traffic([
        1_234_567,
        14_814_804,
        12_345_670,
        11_111_103_000,
        152_000_000_000,
    ]);
    web.rates = traffic([1234, 12345, 10288, 2_469_134, 37_037_010]);
    let mut masq = sample::server("10.0.0.1:8080 -m -w 100");
    masq.stats = traffic([
        100_000_000,
        1_200_000_000,
        1_000_000_000,
        900_000_000_000,
        12_345_000_000_000,
    ]);
    let mut route = sample::server("10.0.0.2:80 -g -x 100 -y 50");
    (route.active, route.inactive, route.persistent) = (3, 12, 2);
    route.rates = traffic([100_000, 1_000_000, 833_333, 200_000_000, 3_000_000_000]);
    web.servers = vec![masq, route, sample::server("10.0.0.3:80 -i -w 0")];
    let mut six = sample::service("-t [2001:db8::80]:80 -s mh -b mh-fallback");
    six.servers = vec![
        sample::server(
            "[2001:db8:1111:2222:3333:4444:5555:6666]:80 -i --tun-type gue --tun-port 6080 --tun-csum",
        ),
        sample::server("10.0.0.4:80 -i -w 5 --tun-type gre"),
    ];
    let mut local = sample::server("10.0.0.9:53 -g");
    local.settings.method = Method::Local;
    let mut mark = sample::service("-f 7 -s rr");
    mark.servers = vec![local];
    vec![
        web,
        sample::service("-t 192.0.2.10:443 -s sh -b sh-fallback,sh-port -p 360 -M 255.255.255.0"),
        sample::service("-u 192.0.2.10:5060 -s rr -p 60 --pe sip -o"),
        sample::service("-u 192.0.2.10:5061 --pe sip"),
        sample::service("--sctp-service 192.0.2.11:9 -s rr -b flag-3"),
        six,
        mark,
        sample::service("-f 7 -6 -s rr -p 300 -M 64"),
    ]
}

fn traffic([connections, in_packets, out_packets, in_bytes, out_bytes]: [u64; 5]) -> Traffic {
    Traffic {
        connections,
        in_packets,
        out_packets,
        in_bytes,
        out_bytes,
    }
}

fn printed(view: View, exact: bool) -> String {
    let how = Listing {
        view,
        numeric: true,
        exact,
        sort: false,
    };
    let mut out = Vec::new();
    let services = Services {
        table_size: 4096,
        services: services(),
    };
    print_all(&mut out, &services, how).expect("memory takes it");
    String::from_utf8(out).expect("text")
}

/// Golden texts end their lines with `|`, so that blanks there can be seen.
fn golden(text: &str) -> String {
    text.replace('|', "")
}

#[test]
fn plain() {
    let expected = golden(
        "\
IP Virtual Server version 1.2.1 (size=4096)|
Prot LocalAddress:Port Scheduler Flags|
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn|
TCP  192.0.2.10:80 wlc|
  -> 10.0.0.1:8080                Masq    100    0          0         |
  -> 10.0.0.2:80                  Route   1      3          12        |
  -> 10.0.0.3:80                  Tunnel  0      0          0         |
TCP  192.0.2.10:443 sh (sh-fallback,sh-port) persistent 360 mask 255.255.255.0|
UDP  192.0.2.10:5060 rr persistent 60 pe sip ops|
UDP  192.0.2.10:5061 wlc|
SCTP 192.0.2.11:9 rr (flag-3)|
TCP  [2001:db8::80]:80 mh (mh-fallback)|
  -> [2001:db8:1111:2222:3333:4444:5555:6666]:80 Tunnel  1      0          0         |
  -> 10.0.0.4:80                  Tunnel  5      0          0         |
FWM  7 rr|
  -> 10.0.0.9:53                  Local   1      0          0         |
FWM  7 IPv6 rr persistent 300 mask 64|
",
    );
    assert_eq!(printed(View::Plain, false), expected);
}

#[test]
fn stats_are_shortened() {
    let expected = golden(
        "\
IP Virtual Server version 1.2.1 (size=4096)|
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes|
  -> RemoteAddress:Port|
TCP  192.0.2.10:80                 1234567 14814804 12345670   11111M     152G|
  -> 10.0.0.1:8080                 100000K    1200M    1000M     900G   12345G|
  -> 10.0.0.2:80                         0        0        0        0        0|
  -> 10.0.0.3:80                         0        0        0        0        0|
TCP  192.0.2.10:443                      0        0        0        0        0|
UDP  192.0.2.10:5060                     0        0        0        0        0|
UDP  192.0.2.10:5061                     0        0        0        0        0|
SCTP 192.0.2.11:9                        0        0        0        0        0|
TCP  [2001:db8::80]:80                   0        0        0        0        0|
  -> [2001:db8:1111:2222:3333:4444:5555:6666]:80        0        0        0        0        0|
  -> 10.0.0.4:80                         0        0        0        0        0|
FWM  7                                   0        0        0        0        0|
  -> 10.0.0.9:53                         0        0        0        0        0|
FWM  7 IPv6                              0        0        0        0        0|
",
    );
    assert_eq!(printed(View::Stats, false), expected);
}

#[test]
fn exact_stats_are_not() {
    let text = printed(View::Stats, true);
    let lines: Vec<_> = text.lines().skip(3).take(2).collect();
    assert_eq!(
        lines,
        [
            "TCP  192.0.2.10:80                 1234567 14814804 12345670 11111103000 152000000000",
            "  -> 10.0.0.1:8080                100000000 1200000000 1000000000 900000000000 12345000000000",
        ]
    );
}

#[test]
fn rates_of_servers_are_shortened_in_bytes_only() {
    let text = printed(View::Rate, false);
    let lines: Vec<_> = text.lines().skip(1).take(5).collect();
    assert_eq!(
        lines,
        [
            "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS",
            "  -> RemoteAddress:Port",
            "TCP  192.0.2.10:80                    1234    12345    10288  2469134 37037010",
            "  -> 10.0.0.1:8080                       0        0        0        0        0",
            "  -> 10.0.0.2:80                    100000  1000000   833333  200000K    3000M",
        ]
    );
}

#[test]
fn thresholds() {
    let text = printed(View::Thresholds, false);
    let lines: Vec<_> = text.lines().skip(1).take(5).collect();
    assert_eq!(
        lines,
        [
            "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn ",
            "  -> RemoteAddress:Port",
            "TCP  192.0.2.10:80 wlc",
            "  -> 10.0.0.1:8080                0          0          0          0         ",
            "  -> 10.0.0.2:80                  100        50         3          12        ",
        ]
    );
}

#[test]
fn persistent_connections() {
    let text = printed(View::PersistentConnections, false);
    let lines: Vec<_> = text.lines().skip(1).take(5).collect();
    assert_eq!(
        lines,
        [
            "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn ",
            "  -> RemoteAddress:Port",
            "TCP  192.0.2.10:80 wlc",
            "  -> 10.0.0.1:8080                100       0           0          0         ",
            "  -> 10.0.0.2:80                  1         2           3          12        ",
        ]
    );
}

#[test]
fn tunnels() {
    let text = printed(View::TunnelInfo, false);
    let servers: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("  ->"))
        .collect();
    assert_eq!(
        servers,
        [
            "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn",
            "  -> 10.0.0.1:8080                Masq    n/a           100    0          0         ",
            "  -> 10.0.0.2:80                  Route   n/a           1      3          12        ",
            "  -> 10.0.0.3:80                  Tunnel  ipip          0      0          0         ",
            "  -> [2001:db8:1111:2222:3333:4444:5555:6666]:80 Tunnel  gue:6080:+c   1      0          0         ",
            "  -> 10.0.0.4:80                  Tunnel  gre:-c        5      0          0         ",
            "  -> 10.0.0.9:53                  Local   n/a           1      0          0         ",
        ]
    );
}

#[test]
fn numbers_are_shortened_to_whole_thousands() {
    for (value, shortened, exact) in [
        (0, "        0", "        0"),
        (99_999_999, " 99999999", " 99999999"),
        (100_000_000, "  100000K", " 100000000"),
        (999_999_999, "  999999K", " 999999999"),
        (1_000_000_000, "    1000M", " 1000000000"),
        (99_999_999_999, "   99999M", " 99999999999"),
        (100_000_000_000, "     100G", " 100000000000"),
        (99_999_999_999_999, "   99999G", " 99999999999999"),
        (100_000_000_000_000, "     100T", " 100000000000000"),
        (u64::MAX, " 18446744T", " 18446744073709551615"),
    ] {
        assert_eq!(number(value, false), shortened);
        assert_eq!(number(value, true), exact);
    }
}

#[test]
fn long_names_of_ipv4_are_cut_and_those_of_ipv6_push_the_columns() {
    assert_eq!(
        cut("exact28.example.org.abcd:http".to_owned(), true),
        "exact28.example.org.abcd:htt"
    );
    assert_eq!(
        cut("[six.example.org.and.so.on]:http".to_owned(), false).len(),
        32
    );
}
