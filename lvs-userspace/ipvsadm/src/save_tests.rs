use lvs_api::model::{Family, OnDown, Persistence, ServerId, ServerSettings, ServiceSettings};
use lvs_api::protocol::{Edit, Traffic};
use lvs_api::snat::Snat;
use lvs_api::timeouts::Timeouts;
use proptest::prelude::*;

use super::*;
use crate::restore::parse_line;
use crate::sample;

fn saved(services: &[Service]) -> String {
    let mut out = Vec::new();
    print(&mut out, services, true).expect("memory takes it");
    String::from_utf8(out).expect("text")
}

#[test]
fn services_are_saved_as_ipvsadm_saves_them() {
    let mut web =
        sample::service("-t 192.0.2.10:443 -s sh -b sh-fallback,sh-port -p -M 255.255.255.0");
    web.servers = vec![
        sample::server("10.0.0.1:8080 -m -w 100 -x 5 -y 3"),
        sample::server("10.0.0.3:443 -i -w 0 --tun-type gue --tun-port 6080 --tun-csum"),
        sample::server("10.0.0.4:443 -i -w 5 --tun-type gre"),
        sample::server("10.0.0.5:443 -i"),
        sample::server("10.0.0.6:443 -g"),
    ];
    let mut mark = sample::service("-f 7 -6 -s rr -p 300 -M 64");
    mark.servers = vec![sample::server("fd00::1 -i -w 1")];
    let services = [
        web,
        sample::service("-u 192.0.2.10:5060 -s rr -p 60 --pe sip -o"),
        sample::service("--sctp-service 192.0.2.10:9"),
        mark,
    ];
    assert_eq!(
        saved(&services),
        "\
-A -t 192.0.2.10:443 -s sh -p 360 -M 255.255.255.0 -b sh-fallback,sh-port
-a -t 192.0.2.10:443 -r 10.0.0.1:8080 -m -w 100
-a -t 192.0.2.10:443 -r 10.0.0.3:443 -i -w 0 --tun-type gue --tun-port 6080 --tun-csum
-a -t 192.0.2.10:443 -r 10.0.0.4:443 -i -w 5 --tun-type gre --tun-nocsum
-a -t 192.0.2.10:443 -r 10.0.0.5:443 -i -w 1 --tun-type ipip
-a -t 192.0.2.10:443 -r 10.0.0.6:443 -g -w 1
-A -u 192.0.2.10:5060 -s rr -p 60 --pe sip -o
-A --sctp-service 192.0.2.10:9 -s wlc
-A -f 7 -6 -s rr -p 300 -M 64
-a -f 7 -6 -r [fd00::1]:0 -i -w 1 --tun-type ipip
"
    );
}

fn checksum() -> impl Strategy<Value = Checksum> {
    prop_oneof![Just(Checksum::None), Just(Checksum::Full)]
}

fn snat() -> impl Strategy<Value = Option<Snat>> {
    let addresses = any::<std::net::IpAddr>().prop_map(|address| (address, address));
    let ports = (1u16.., 1u16..).prop_map(|(one, other)| (one.min(other), one.max(other)));
    prop::option::of(
        (prop::option::of(addresses), prop::option::of(ports))
            .prop_map(|(addresses, ports)| Snat { addresses, ports }),
    )
}

fn method() -> impl Strategy<Value = (Method, Tunnel)> {
    prop_oneof![
        Just((Method::Direct, Tunnel::Ipip)),
        Just((Method::Nat, Tunnel::Ipip)),
        Just((Method::Tunnel, Tunnel::Ipip)),
        (1u16.., checksum())
            .prop_map(|(port, checksum)| (Method::Tunnel, Tunnel::Gue { port, checksum })),
        (1u16..).prop_map(|port| {
            (
                Method::Tunnel,
                Tunnel::Gue {
                    port,
                    checksum: Checksum::Remote,
                },
            )
        }),
        checksum().prop_map(|checksum| (Method::Tunnel, Tunnel::Gre { checksum })),
    ]
}

fn service_id() -> impl Strategy<Value = ServiceId> {
    let protocol = prop_oneof![
        Just(Protocol::Tcp),
        Just(Protocol::Udp),
        Just(Protocol::Sctp)
    ];
    prop_oneof![
        (protocol, any::<std::net::SocketAddr>()).prop_map(|(protocol, mut address)| {
            // Scope and flow label are no part of a service.
            address = std::net::SocketAddr::new(address.ip(), address.port());
            ServiceId::Address { protocol, address }
        }),
        (1u32.., any::<bool>()).prop_map(|(mark, four)| ServiceId::Mark {
            mark,
            family: if four { Family::Ipv4 } else { Family::Ipv6 }
        }),
    ]
}

/// Options that ipvsadm lacks: redispatch, the fate of connections without a server, idle timeouts.
fn lost() -> impl Strategy<Value = (bool, Option<OnDown>, Option<Timeouts>)> {
    let on_down = prop::sample::select(vec![None, Some(OnDown::Reset), Some(OnDown::Reschedule)]);
    let timeouts = (0u32..=2_678_400, 0u32..=2_678_400, 1u32..=2_678_400)
        .prop_map(|(tcp, tcp_fin, udp)| Timeouts { tcp, tcp_fin, udp });
    (any::<bool>(), on_down, prop::option::of(timeouts))
}

fn service() -> impl Strategy<Value = Service> {
    let scheduler = prop::sample::select(vec![
        "rr", "wrr", "lc", "wlc", "sh", "mh", "dh", "sed", "nq", "fo", "ovf", "twos", "lblc",
        "lblcr",
    ]);
    let persistence = prop::option::of((1u32..=2_678_400, any::<u8>()));
    let engine = prop::option::of(Just("sip".to_owned()));
    (
        service_id(),
        scheduler,
        0u8..8,
        persistence,
        any::<bool>(),
        engine,
        lost(),
    )
        .prop_map(
            |(id, scheduler, flags, persistence, one_packet, engine, lost)| {
                let (redispatch, on_down, timeouts) = lost;
                let longest = if id.family() == Family::Ipv4 { 32 } else { 128 };
                // Only settings that the command line can express.
                let least = u8::from(id.family() == Family::Ipv6);
                let mut persistence = persistence.map(|(timeout, prefix)| Persistence {
                    timeout,
                    prefix: prefix.clamp(least, longest),
                });
                let udp_or_mark = match id {
                    ServiceId::Address { protocol, address } => {
                        if address.port() == 0 {
                            persistence.get_or_insert(Persistence {
                                timeout: 1,
                                prefix: longest,
                            });
                        }
                        protocol == Protocol::Udp
                    }
                    ServiceId::Mark { .. } => true,
                };
                let flags = if matches!(scheduler, "sh" | "mh") {
                    flags & 3
                } else {
                    flags
                };
                Service {
                    id,
                    settings: ServiceSettings {
                        scheduler: scheduler.to_owned(),
                        scheduler_flags: flags << 3,
                        persistence,
                        one_packet: one_packet && udp_or_mark,
                        redispatch: redispatch.then_some(true),
                        on_down,
                        timeouts,
                        engine,
                        filter: None,
                    },
                    stats: Traffic::default(),
                    rates: Traffic::default(),
                    filter: None,
                    servers: Vec::new(),
                }
            },
        )
}

proptest! {
    #[test]
    fn saved_lines_add_the_same_services_again(
        mut service in service(),
        servers in prop::collection::vec(
            (any::<std::net::IpAddr>(), any::<u16>(), method(), 0u32..=i32::MAX as u32, snat()), 0..4)
    ) {
        for (ip, port, (method, tunnel), weight, snat) in servers {
            let same_family = ip.is_ipv4() == (service.id.family() == Family::Ipv4);
            let method = if same_family { method } else { Method::Tunnel };
            let port = match service.id {
                ServiceId::Address { address, .. } if method != Method::Nat => address.port(),
                _ => port,
            };
            let snat = snat.filter(|_| method == Method::Nat);
            let mut server = sample::server("10.0.0.1");
            server.id = ServerId(std::net::SocketAddr::new(ip, port));
            server.settings = ServerSettings { method, weight, upper: 0, lower: 0, tunnel, snat };
            service.servers.push(server);
        }
        let text = saved(std::slice::from_ref(&service));
        let mut lines = text.lines();
        let first = parse_line(lines.next().expect("a line for the service")).expect("an edit");
        let settings = service.settings.clone();
        prop_assert_eq!(first, Some(Edit::AddService { service: service.id, settings }));
        for (server, line) in service.servers.iter().zip(lines.by_ref()) {
            let edit = parse_line(line).expect("an edit");
            let expected =
                Edit::AddServer { service: service.id, server: server.id, settings: server.settings };
            prop_assert_eq!(edit, Some(expected));
        }
        prop_assert_eq!(lines.next(), None);
    }
}
