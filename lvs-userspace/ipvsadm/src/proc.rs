//! The files of the kernel's IPVS in `/proc/net`, to the byte.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lvs_api::model::{Family, Protocol, ServiceId};
use lvs_api::protocol::{Connection, Server, Service, Services, TotalTraffic, Traffic};

use super::listing::{self, method};

/// Ticks a second of the kernel's clock (`CONFIG_HZ` of Debian's): `ip_vs` shows times of persistence in them.
const HZ: u32 = 250;

/// Prints `ip_vs`.
pub fn print_services(out: &mut impl Write, services: &Services) -> io::Result<()> {
    writeln!(
        out,
        "IP Virtual Server version 1.2.1 (size={})",
        services.table_size
    )?;
    writeln!(out, "Prot LocalAddress:Port Scheduler Flags")?;
    writeln!(
        out,
        "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn"
    )?;
    // The kernel keeps those of marks in a table of their own.
    let is_mark = |service: &&Service| matches!(service.id, ServiceId::Mark { .. });
    let all = &services.services;
    let marks = all.iter().filter(is_mark);
    for service in all.iter().filter(|one| !is_mark(one)).chain(marks) {
        print_service(out, service)?;
    }
    Ok(())
}

fn print_service(out: &mut impl Write, service: &Service) -> io::Result<()> {
    let settings = &service.settings;
    let scheduler = &settings.scheduler;
    let ops = if settings.one_packet { "ops " } else { "" };
    match service.id {
        ServiceId::Address { protocol, address } => {
            let (word, port) = (protocol_name(Some(protocol)), address.port());
            match address.ip() {
                IpAddr::V4(ip) => {
                    write!(out, "{word}  {}:{port:04X} {scheduler} {ops} ", hex(ip))?;
                }
                // Without the flag.
                IpAddr::V6(ip) => write!(out, "{word}  [{}]:{port:04X} {scheduler} ", full(ip))?,
            }
        }
        ServiceId::Mark { mark, .. } => write!(out, "FWM  {mark:08X} {scheduler} {ops}")?,
    }
    if let Some(persistence) = settings.persistence {
        let ticks = u64::from(persistence.timeout) * u64::from(HZ);
        let mask = match service.id.family() {
            Family::Ipv4 => super::address::netmask(persistence.prefix).to_bits(),
            // A prefix length, printed as if it were a mask in network order.
            Family::Ipv6 => u32::from(persistence.prefix).swap_bytes(),
        };
        write!(out, "persistent {ticks} {mask:08X}")?;
    }
    writeln!(out)?;
    let mut servers = service.servers.iter();
    servers.try_for_each(|server| print_server(out, server))
}

fn print_server(out: &mut impl Write, server: &Server) -> io::Result<()> {
    let (address, port) = (address(server.id.address(), true), server.id.0.port());
    let (method, weight) = (method(server.settings.method), server.settings.weight);
    let (active, inactive) = (server.active, server.inactive);
    writeln!(
        out,
        "  -> {address}:{port:04X}      {method:<7} {weight:<6} {active:<10} {inactive:<10}"
    )
}

/// Prints the title of `ip_vs_conn`, or with the origin of `ip_vs_conn_sync`.
pub fn print_connections_title(out: &mut impl Write, origin: bool) -> io::Result<()> {
    let columns = if origin {
        "Origin Expires"
    } else {
        "Expires PEName PEData"
    };
    writeln!(
        out,
        "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       {columns}"
    )
}

/// Prints a line of `ip_vs_conn`, or with the origin of `ip_vs_conn_sync`.
pub fn print_connection(
    out: &mut impl Write,
    connection: &Connection,
    origin: bool,
) -> io::Result<()> {
    let word = protocol_name(connection.protocol);
    let end =
        |end: std::net::SocketAddr| format!("{} {:04X}", address(end.ip(), false), end.port());
    let (client, virtual_address) = (end(connection.client), end(connection.virtual_address));
    let (server, state, expires) = (
        end(connection.server),
        &connection.state,
        connection.expires,
    );
    write!(
        out,
        "{word:<3} {client} {virtual_address} {server} {state:<11} "
    )?;
    if origin {
        let origin = if connection.replicated {
            "SYNC"
        } else {
            "LOCAL"
        };
        write!(out, "{origin:<6} ")?;
    }
    write!(out, "{expires:>7}")?;
    match connection.engine.as_ref().filter(|_| !origin) {
        Some(engine) => writeln!(out, " {} {}", engine.name, engine.data),
        None => writeln!(out),
    }
}

/// Prints `ip_vs_stats`.
pub fn print_stats(out: &mut impl Write, total: &TotalTraffic) -> io::Result<()> {
    writeln!(
        out,
        "   Total Incoming Outgoing         Incoming         Outgoing"
    )?;
    writeln!(
        out,
        "   Conns  Packets  Packets            Bytes            Bytes"
    )?;
    writeln!(out, "{}", columns(&total.stats))?;
    writeln!(
        out,
        "\n Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s"
    )?;
    writeln!(out, "{}", columns(&total.rates))
}

/// Prints `ip_vs_stats_percpu`.
pub fn print_stats_per_cpu(out: &mut impl Write, total: &TotalTraffic) -> io::Result<()> {
    writeln!(
        out,
        "       Total Incoming Outgoing         Incoming         Outgoing"
    )?;
    writeln!(
        out,
        "CPU    Conns  Packets  Packets            Bytes            Bytes"
    )?;
    for (cpu, traffic) in total.cpus.iter().enumerate() {
        writeln!(out, "{cpu:3X} {}", columns(traffic))?;
    }
    writeln!(out, "  ~ {}", columns(&total.stats))?;
    writeln!(
        out,
        "\n     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s"
    )?;
    writeln!(out, "    {}", columns(&total.rates))
}

fn columns(traffic: &Traffic) -> String {
    let [connections, in_packets, out_packets, in_bytes, out_bytes] = listing::columns(traffic);
    format!("{connections:8X} {in_packets:8X} {out_packets:8X} {in_bytes:16X} {out_bytes:16X}")
}

/// `ip_vs_proto_name`.
const fn protocol_name(protocol: Option<Protocol>) -> &'static str {
    match protocol {
        Some(protocol) => protocol.name(),
        None => "IP",
    }
}

fn address(address: IpAddr, brackets: bool) -> String {
    match address {
        IpAddr::V4(v4) => hex(v4),
        IpAddr::V6(v6) if brackets => format!("[{}]", full(v6)),
        IpAddr::V6(v6) => full(v6),
    }
}

fn hex(address: Ipv4Addr) -> String {
    format!("{:08X}", address.to_bits())
}

/// All eight groups with all their digits (`%pI6`).
fn full(address: Ipv6Addr) -> String {
    address
        .segments()
        .map(|segment| format!("{segment:04x}"))
        .join(":")
}

#[cfg(test)]
mod tests {
    use lvs_api::model::{Method, ServerId};

    use super::*;
    use crate::sample;

    fn service(line: &str, servers: &[(&str, Method, u32, [u32; 2])]) -> Service {
        let servers = servers.iter().map(|&(id, method, weight, counts)| {
            let mut server = sample::server("10.0.0.1:1");
            server.id = ServerId(id.parse().expect("an address"));
            server.settings.method = method;
            server.settings.weight = weight;
            [server.active, server.inactive] = counts;
            server
        });
        Service {
            servers: servers.collect(),
            ..sample::service(line)
        }
    }

    #[test]
    fn services_are_printed_as_by_the_kernel() {
        let services = Services {
            table_size: 4096,
            services: vec![
                service("-f 7 -s wlc", &[("10.0.0.9:0", Method::Direct, 1, [0, 0])]),
                service("-f 8 -s wlc -p 77 -o", &[]),
                service(
                    "-f 7 -6 -s wlc -p 60 -M 64",
                    &[("[2001:db8::77]:0", Method::Direct, 1, [0, 0])],
                ),
                service("-u 10.0.0.1:53 -s rr -o", &[]),
                service(
                    "-t 10.0.0.1:80 -s wrr",
                    &[
                        ("192.168.1.4:80", Method::Tunnel, 0, [0, 0]),
                        ("192.168.1.3:80", Method::Direct, 0, [0, 0]),
                        ("10.0.0.2:8080", Method::Nat, 100, [0, 1]),
                    ],
                ),
                service("-u [2001:db8::1]:53 -s rr -o", &[]),
                service(
                    "--sctp-service 10.0.0.1:9 -s rr",
                    &[("10.0.0.2:9", Method::Nat, 65535, [0, 0])],
                ),
                service("-t 10.0.0.1:443 -s sh -p 360 -M 255.255.255.0", &[]),
                service(
                    "-t [2001:db8::1]:80 -s mh -p 50",
                    &[("[2001:db8::2]:8080", Method::Nat, 3, [0, 1])],
                ),
            ],
        };
        let mut out = Vec::new();
        print_services(&mut out, &services).expect("memory takes it");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
UDP  0A000001:0035 rr ops  
TCP  0A000001:0050 wrr  
  -> C0A80104:0050      Tunnel  0      0          0         
  -> C0A80103:0050      Route   0      0          0         
  -> 0A000002:1F90      Masq    100    0          1         
UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 rr 
SCTP  0A000001:0009 rr  
  -> 0A000002:0009      Masq    65535  0          0         
TCP  0A000001:01BB sh  persistent 90000 FFFFFF00
TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050 mh persistent 12500 80000000
  -> [2001:0db8:0000:0000:0000:0000:0000:0002]:1F90      Masq    3      0          1         
FWM  00000007 wlc 
  -> 0A000009:0000      Route   1      0          0         
FWM  00000008 wlc ops persistent 19250 FFFFFFFF
FWM  00000007 wlc persistent 15000 40000000
  -> [2001:0db8:0000:0000:0000:0000:0000:0077]:0000      Route   1      0          0         
"
        );
    }

    fn connection(ends: [&str; 3], state: &str, expires: u32, replicated: bool) -> Connection {
        let [client, virtual_address, server] = ends.map(|end| end.parse().expect("an address"));
        Connection {
            protocol: Some(Protocol::Tcp),
            expires,
            state: state.to_owned(),
            client,
            virtual_address,
            server,
            template: false,
            engine: None,
            replicated,
        }
    }

    #[test]
    fn connections_are_printed_as_by_the_kernel() {
        let all = [
            connection(
                ["10.0.0.1:40316", "10.0.0.1:443", "10.0.0.2:8443"],
                "CLOSE",
                7,
                false,
            ),
            connection(
                ["[2001:db8::1]:0", "[2001:db8::1]:80", "[2001:db8::2]:8080"],
                "NONE",
                48,
                true,
            ),
        ];
        let mut out = Vec::new();
        for origin in [false, true] {
            print_connections_title(&mut out, origin).expect("memory takes it");
            for one in &all {
                print_connection(&mut out, one, origin).expect("memory takes it");
            }
        }
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 0A000001 9D7C 0A000001 01BB 0A000002 20FB CLOSE             7
TCP 2001:0db8:0000:0000:0000:0000:0000:0001 0000 2001:0db8:0000:0000:0000:0000:0000:0001 0050 \
2001:0db8:0000:0000:0000:0000:0000:0002 1F90 NONE             48
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires
TCP 0A000001 9D7C 0A000001 01BB 0A000002 20FB CLOSE       LOCAL        7
TCP 2001:0db8:0000:0000:0000:0000:0000:0001 0000 2001:0db8:0000:0000:0000:0000:0000:0001 0050 \
2001:0db8:0000:0000:0000:0000:0000:0002 1F90 NONE        SYNC        48
"
        );
    }

    #[test]
    fn traffic_is_printed_as_by_the_kernel() {
        let stats = Traffic {
            connections: 3,
            in_packets: 3,
            out_packets: 3,
            in_bytes: 0xc8,
            out_bytes: 0x8c,
        };
        let rates = Traffic {
            in_bytes: 0x19,
            out_bytes: 0x11,
            ..Traffic::default()
        };
        let total = TotalTraffic {
            stats,
            rates,
            cpus: vec![stats],
        };
        let mut out = Vec::new();
        print_stats(&mut out, &total).expect("memory takes it");
        print_stats_per_cpu(&mut out, &total).expect("memory takes it");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "   Total Incoming Outgoing         Incoming         Outgoing
   Conns  Packets  Packets            Bytes            Bytes
       3        3        3               C8               8C

 Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s
       0        0        0               19               11
       Total Incoming Outgoing         Incoming         Outgoing
CPU    Conns  Packets  Packets            Bytes            Bytes
  0        3        3        3               C8               8C
  ~        3        3        3               C8               8C

     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s
           0        0        0               19               11
"
        );
    }
}
